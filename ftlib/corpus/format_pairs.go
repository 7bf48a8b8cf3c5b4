package corpus

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ftlab/ftlib/chat"
)

func makeCompletion(in *input) ([]Record, *RowError) {
	prompt, completion := in.content("prompt"), in.content("completion")
	if system := in.optional("system"); strings.TrimSpace(system) != "" {
		prompt = Content{Messages: withSystem(prompt.asMessages("user"), system)}
	}
	if prompt.Messages != nil && completion.Messages == nil {
		completion = Content{Messages: completion.asMessages("assistant")}
	}
	return []Record{{Prompt: prompt, Completion: completion}}, in.err
}

func makePrompt(in *input) ([]Record, *RowError) {
	prompt := in.content("prompt")
	if system := in.optional("system"); strings.TrimSpace(system) != "" {
		prompt = Content{Messages: withSystem(prompt.asMessages("user"), system)}
	}
	return []Record{{Prompt: prompt}}, in.err
}

func makeText(in *input) ([]Record, *RowError) { return []Record{{Text: in.text("text")}}, in.err }

func makeUnpaired(in *input) ([]Record, *RowError) {
	prompt, completion := in.content("prompt"), in.content("completion")
	if !in.has("label") {
		in.fail("label", "missing")
	}
	return []Record{{Prompt: prompt, Completion: completion, Label: in.truth("label")}}, in.err
}

func makeUnpairedChat(in *input) ([]Record, *RowError) {
	msgs, err := messages(in.list("messages"))
	if err != "" {
		in.fail("messages", err)
	}
	if !in.has("label") {
		in.fail("label", "missing")
	}
	n := len(msgs)
	if in.err == nil && (n < 2 || msgs[n-1].Role != "assistant") {
		in.fail("messages", "does not end with an answer of the assistant")
	}
	if in.err != nil {
		return nil, in.err
	}
	return []Record{{Prompt: Content{Messages: msgs[:n-1]}, Completion: Content{Messages: msgs[n-1:]}, Label: in.truth("label")}}, in.err
}

// makeClass is a classification row as prompt and completion. The mapping's
// Template stands around the text, its Labels say which word a class is.
func makeClass(in *input) ([]Record, *RowError) {
	text := strings.TrimSpace(in.text("text"))
	label := strings.TrimSpace(in.text("label"))
	if word, ok := in.m.Labels[label]; ok {
		label = word
	}
	template := in.m.Template
	if template == "" {
		template = defaultTemplate
	}
	return []Record{{Prompt: Content{Text: strings.ReplaceAll(template, "{text}", text)}, Completion: Content{Text: " " + label}}}, in.err
}

const defaultTemplate = "{text}\nLabel:"

func makePreference(in *input) ([]Record, *RowError) {
	prompt, chosen, rejected := in.content("prompt"), in.content("chosen"), in.content("rejected")
	if extra := in.optional("input"); strings.TrimSpace(extra) != "" && prompt.Messages == nil {
		prompt.Text += "\n\n" + extra
	}
	if system := in.optional("system"); strings.TrimSpace(system) != "" {
		prompt = Content{Messages: withSystem(prompt.asMessages("user"), system)}
	}
	if in.err != nil {
		return nil, in.err
	}
	prompt, chosen, rejected = withoutPrompt(prompt, chosen, rejected)
	rec := Record{Prompt: prompt, Chosen: chosen, Rejected: rejected, Margin: in.number("margin")}
	if a, b := in.number("chosen_score"), in.number("rejected_score"); rec.Margin == nil && a != nil && b != nil {
		d := *a - *b
		rec.Margin = &d
	}
	in.same(rec)
	return []Record{rec}, in.err
}

// same refuses a pair from which nothing can be learnt.
func (in *input) same(rec Record) {
	switch {
	case in.err != nil:
	case rec.Chosen.Empty():
		in.fail("chosen", "empty")
	case rec.Rejected.Empty():
		in.fail("rejected", "empty")
	case rec.Chosen.Plain() == rec.Rejected.Plain():
		in.fail("rejected", "the same as chosen")
	}
}

// withoutPrompt removes a prompt that both answers repeat, and brings the three
// to one form: all text or all messages.
func withoutPrompt(prompt, chosen, rejected Content) (p, c, r Content) {
	if prompt.Messages == nil && chosen.Messages == nil && rejected.Messages == nil {
		if strings.HasPrefix(chosen.Text, prompt.Text) && strings.HasPrefix(rejected.Text, prompt.Text) {
			chosen.Text, rejected.Text = chosen.Text[len(prompt.Text):], rejected.Text[len(prompt.Text):]
		}
		return prompt, chosen, rejected
	}
	ask := prompt.asMessages("user")
	a, b := chosen.asMessages("assistant"), rejected.asMessages("assistant")
	if begins(a, ask) && begins(b, ask) {
		a, b = a[len(ask):], b[len(ask):]
	} else if n := sharedMessages(a, b); n > 0 && len(ask) == 1 && ask[0].Content == a[n-1].Content {
		ask, a, b = a[:n], a[n:], b[n:] // the prompt is only the last of the messages before the answers
	}
	return Content{Messages: ask}, Content{Messages: a}, Content{Messages: b}
}

func begins(msgs, with []chat.Message) bool {
	if len(msgs) < len(with) {
		return false
	}
	for i, m := range with {
		if msgs[i].Role != m.Role || msgs[i].Content != m.Content {
			return false
		}
	}
	return true
}

// sharedMessages is how many messages both begin with, leaving one to each.
func sharedMessages(a, b []chat.Message) int {
	n := 0
	for n < len(a)-1 && n < len(b)-1 && a[n].Role == b[n].Role && a[n].Content == b[n].Content {
		n++
	}
	return n
}

// makeImplicit finds the prompt that chosen and rejected share. In dialogues
// ("\n\nHuman: ...\n\nAssistant: ...", hh-rlhf) it is the longest common beginning
// cut after the last whole mark of an assistant's turn; in message lists the
// messages that both begin with; in other text the longest common beginning that
// ends between two words.
func makeImplicit(in *input) ([]Record, *RowError) {
	chosen, rejected := in.content("chosen"), in.content("rejected")
	if in.err != nil {
		return nil, in.err
	}
	var rec Record
	switch {
	case chosen.Messages != nil && rejected.Messages != nil:
		n := sharedMessages(chosen.Messages, rejected.Messages)
		if n == 0 {
			in.fail("rejected", "shares no message with chosen")
			return nil, in.err
		}
		rec = Record{Prompt: Content{Messages: chosen.Messages[:n]}, Chosen: Content{Messages: chosen.Messages[n:]}, Rejected: Content{Messages: rejected.Messages[n:]}}
	case chosen.Messages != nil || rejected.Messages != nil:
		in.fail("rejected", "one of chosen and rejected is text, the other messages")
		return nil, in.err
	case hasTurns(chosen.Text) && hasTurns(rejected.Text):
		cut := sharedTurns(chosen.Text, rejected.Text)
		if cut == 0 {
			in.fail("rejected", "shares no turn with chosen")
			return nil, in.err
		}
		ask := parseTurns(chosen.Text[:cut])
		rec = Record{Prompt: Content{Messages: ask}, Chosen: Content{Messages: parseTurns(answerMark + chosen.Text[cut:])}, Rejected: Content{Messages: parseTurns(answerMark + rejected.Text[cut:])}}
	default:
		cut := sharedWords(chosen.Text, rejected.Text)
		if strings.TrimSpace(chosen.Text[:cut]) == "" {
			in.fail("rejected", "shares no beginning with chosen")
			return nil, in.err
		}
		rec = Record{Prompt: Content{Text: chosen.Text[:cut]}, Chosen: Content{Text: chosen.Text[cut:]}, Rejected: Content{Text: rejected.Text[cut:]}}
	}
	rec.Margin = in.number("margin")
	in.same(rec)
	return []Record{rec}, in.err
}

const answerMark = "\n\nAssistant:"

// commonPrefix is the length in bytes of the common beginning, on a rune boundary.
func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for n > 0 && n < len(a) && !utf8.RuneStart(a[n]) {
		n--
	}
	return n
}

// sharedTurns is where the last assistant's turn that both texts begin alike opens.
func sharedTurns(a, b string) int {
	n := commonPrefix(a, b)
	cut := 0
	for _, m := range turnMark.FindAllStringSubmatchIndex(a, -1) {
		if m[1] > n && strings.TrimRight(a[m[0]:m[1]], " \t\n") != strings.TrimRight(a[m[0]:max(m[0], min(n, m[1]))], " \t\n") {
			break
		}
		if strings.Contains(a[m[0]:m[1]], "Assistant") || strings.Contains(a[m[0]:m[1]], "Response") {
			cut = min(m[1], n)
		}
	}
	return cut
}

// sharedWords is the length of the common beginning that ends between two words.
func sharedWords(a, b string) int {
	n := commonPrefix(a, b)
	if n == len(a) || n == len(b) {
		return n
	}
	for n > 0 {
		r, size := utf8.DecodeLastRuneInString(a[:n])
		if unicode.IsSpace(r) {
			return n - size
		}
		n -= size
	}
	return 0
}

func makeRanking(in *input) ([]Record, *RowError) {
	rec := Record{Prompt: in.content("prompt")}
	for i, e := range in.list("responses") {
		obj, _ := e.(map[string]any)
		text, ok := firstOf(obj, "text", "response", "content", "completion", "answer", "output")
		s, isText := text.(string)
		if !ok || !isText {
			in.fail("responses", fmt.Sprintf("response %d has no text", i+1))
			break
		}
		if strings.TrimSpace(s) == "" {
			in.fail("responses", fmt.Sprintf("response %d is empty", i+1))
		}
		rank, isRank := asNumber(obj["rank"])
		if score, ok := firstOf(obj, "score", "rating", "overall_score", "reward", "pm_score"); !isRank && ok {
			if f, ok := asNumber(score); ok {
				rank, isRank = -f, true
			}
		}
		if !isRank {
			in.fail("responses", fmt.Sprintf("response %d has no rank or score", i+1))
		}
		rec.Responses = append(rec.Responses, Response{Text: s, Rank: rank})
	}
	if in.err == nil && len(rec.Responses) < 2 {
		in.fail("responses", "a single response cannot be ranked")
	}
	rec.Responses = ranked(rec.Responses)
	if n := len(rec.Responses); n > 0 && rec.Responses[0].Rank == rec.Responses[n-1].Rank {
		in.fail("responses", "all have the same rank")
	}
	return []Record{rec}, in.err
}

// ranked are responses from the best to the worst.
func ranked(list []Response) []Response {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Response) int { return cmp.Compare(a.Rank, b.Rank) })
	return list
}

// preferred are the pairs of ranked responses that differ in rank, by index, the better one first.
func preferred(list []Response) iter.Seq2[int, int] {
	return func(yield func(good, bad int) bool) {
		for i := range list {
			for j := i + 1; j < len(list); j++ {
				if list[i].Rank != list[j].Rank && !yield(i, j) {
					return
				}
			}
		}
	}
}

// Pairs are the preferences that a ranking holds: every response against every
// worse one, best first. Margin is the difference of their ranks.
func Pairs(rec Record) []Record {
	var out []Record
	list := ranked(rec.Responses)
	for i, j := range preferred(list) {
		good, bad := list[i], list[j]
		margin := bad.Rank - good.Rank
		pair := Record{Kind: KindPreference, File: rec.File, Num: rec.Num, Prompt: rec.Prompt, Margin: &margin,
			Chosen: Content{Text: good.Text}, Rejected: Content{Text: bad.Text}}
		pair.Prompt, pair.Chosen, pair.Rejected = withoutPrompt(pair.Prompt, pair.Chosen, pair.Rejected)
		out = append(out, pair)
	}
	return out
}
