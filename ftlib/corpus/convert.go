package corpus

import (
	"encoding/json"
	"fmt"
	"strings"

	"ftlab/ftlib/chat"
)

// Solution is the text that answers a problem: of a reasoning record the
// rationale and the answer (as "#### answer" unless the rationale has it in
// \boxed{}), of a code record the reasoning and the code, of steps all steps.
func (r Record) Solution() string {
	switch r.Kind {
	case KindReasoning:
		if boxed, ok := Boxed(r.Rationale); r.Answer == "" || ok && boxed == r.Answer {
			return r.Rationale
		}
		if r.Rationale == "" {
			return r.Answer
		}
		return r.Rationale + "\n#### " + r.Answer
	case KindCode:
		if r.continues() {
			return r.Code
		}
		code := "```\n" + strings.TrimRight(r.Code, "\n") + "\n```"
		if r.Rationale == "" {
			return code
		}
		return strings.TrimRight(r.Rationale, "\n") + "\n\n" + code
	case KindSteps:
		steps := make([]string, len(r.Steps))
		for i, s := range r.Steps {
			steps[i] = s.Text
		}
		return strings.Join(steps, "\n")
	}
	return ""
}

// continues says whether the code goes on where the problem's own code ends, as in
// HumanEval.
func (r Record) continues() bool {
	tests, ok := r.Tests.(map[string]any)
	return ok && r.Kind == KindCode && tests["entry_point"] != nil
}

// ask and reply are the two sides of a record: what is given and what is wanted
// (the better one where there are several).
func (r Record) ask() Content {
	switch r.Kind {
	case KindReasoning, KindCode, KindSteps:
		if !r.Prompt.Empty() {
			return r.Prompt
		}
		return Content{Text: r.Problem}
	case KindChat:
		if n := lastAssistant(r.Messages); n > 0 {
			return Content{Messages: r.Messages[:n]}
		}
		return Content{Messages: r.Messages}
	}
	return r.Prompt
}

func (r Record) reply() Content {
	switch r.Kind {
	case KindReasoning, KindCode, KindSteps:
		return Content{Text: r.Solution()}
	case KindChat:
		if n := lastAssistant(r.Messages); n >= 0 {
			return Content{Messages: r.Messages[n : n+1]}
		}
		return Content{}
	case KindPreference:
		return r.Chosen
	case KindRanking:
		if len(r.Responses) > 0 {
			return Content{Text: r.Responses[0].Text}
		}
		return Content{}
	}
	return r.Completion
}

func lastAssistant(msgs []chat.Message) int {
	for i := len(msgs) - 1; i >= 0; i-- {
		if msgs[i].Role == "assistant" {
			return i
		}
	}
	return -1
}

// conversions says which kinds a kind can be turned into, besides itself.
var conversions = map[Kind][]Kind{
	KindChat:       {KindCompletion, KindPrompt},
	KindCompletion: {KindChat, KindText, KindPrompt},
	KindPreference: {KindChat, KindCompletion, KindUnpaired, KindPrompt},
	KindRanking:    {KindPreference, KindChat, KindCompletion, KindUnpaired, KindPrompt},
	KindUnpaired:   {KindChat, KindCompletion, KindPrompt},
	KindReasoning:  {KindChat, KindCompletion, KindText, KindUnpaired, KindPrompt},
	KindCode:       {KindChat, KindCompletion, KindText, KindPrompt},
	KindSteps:      {KindChat, KindCompletion, KindUnpaired, KindPrompt},
}

// To turns a record into records of another kind:
//
//   - chat, prompt-completion: prompt and wanted answer. An answer known to be
//     wrong (a false label, is_correct false, a step below 0.5) is an error;
//   - preference: every pair of a ranking;
//   - unpaired: chosen and rejected with labels true and false;
//   - text: prompt and completion as one text; prompt: without the answer.
//
// Which conversions there are is in the error for those that there are not.
func To(rec Record, kind Kind) ([]Record, error) {
	if rec.Kind == kind {
		return []Record{rec}, nil
	}
	ok := false
	var can []string
	for _, k := range conversions[rec.Kind] {
		ok = ok || k == kind
		can = append(can, string(k))
	}
	fault := func(what, hint string) error {
		return &RowError{File: rec.File, Row: rec.Num, What: what, Hint: hint}
	}
	if !ok {
		return nil, fault(fmt.Sprintf("a %s row cannot become %s", rec.Kind, kind), "it can become "+orNone(can))
	}
	out := Record{Kind: kind, File: rec.File, Num: rec.Num}
	switch kind {
	case KindPrompt:
		out.Prompt = rec.ask()
		return []Record{out}, nil
	case KindPreference:
		return Pairs(rec), nil
	case KindUnpaired:
		return unpaired(rec, out), nil
	}
	if why := rec.wrong(); why != "" {
		return nil, fault(why, "only right answers become "+string(kind))
	}
	ask, reply := rec.ask(), rec.reply()
	if reply.Empty() {
		return nil, fault("no answer to train", "")
	}
	switch kind {
	case KindChat:
		out.Messages = append(append([]chat.Message{}, ask.asMessages("user")...), trimmed(reply.asMessages("assistant"))...)
	case KindCompletion:
		if ask.Messages != nil || reply.Messages != nil {
			ask, reply = Content{Messages: ask.asMessages("user")}, Content{Messages: reply.asMessages("assistant")}
		}
		out.Prompt, out.Completion = ask, reply
		if reply.Messages == nil && !rec.continues() && !endsInSpace(ask.Text) && !startsWithSpace(reply.Text) {
			out.Completion.Text = "\n" + reply.Text
		}
	case KindText:
		if ask.Messages != nil || reply.Messages != nil {
			return nil, fault("messages need a chat template to become text", "convert to chat instead")
		}
		sep := ""
		if rec.Kind != KindCompletion && !rec.continues() && !endsInSpace(ask.Text) {
			sep = "\n"
		}
		out.Text = ask.Text + sep + reply.Text
	}
	return []Record{out}, nil
}

func endsInSpace(s string) bool     { return s != "" && strings.ContainsAny(s[len(s)-1:], " \n\t") }
func startsWithSpace(s string) bool { return s != "" && strings.ContainsAny(s[:1], " \n\t") }

// trimmed removes the white space around an answer that became a message.
func trimmed(msgs []chat.Message) []chat.Message {
	if len(msgs) == 1 {
		m := msgs[0]
		m.Content = strings.TrimSpace(m.Content)
		return []chat.Message{m}
	}
	return msgs
}

// wrong says why the answer of a record should not be imitated.
func (r Record) wrong() string {
	switch {
	case r.Kind == KindUnpaired && r.Label != nil && !*r.Label:
		return "the label says that the answer is not wanted"
	case r.Kind == KindReasoning && r.Correct != nil && !*r.Correct:
		return "the answer is marked as not correct"
	}
	if r.Kind == KindSteps {
		for i, s := range r.Steps {
			if s.Reward < 0.5 {
				return fmt.Sprintf("step %d is wrong", i+1)
			}
		}
	}
	return ""
}

func unpaired(rec, out Record) []Record {
	yes, no := true, false
	good, bad := out, out
	good.Prompt, bad.Prompt = rec.ask(), rec.ask()
	good.Label, bad.Label = &yes, &no
	switch rec.Kind {
	case KindPreference:
		good.Completion, bad.Completion = rec.Chosen, rec.Rejected
	case KindRanking:
		good.Completion, bad.Completion = Content{Text: rec.Responses[0].Text}, Content{Text: rec.Responses[len(rec.Responses)-1].Text}
	default:
		right := rec.wrong() == ""
		good.Completion, good.Label = rec.reply(), &right
		return []Record{good}
	}
	return []Record{good, bad}
}

// Row is the record as a row with the canonical columns of its kind, which
// [Recognise] finds again:
//
//	text               text
//	chat               messages [{role, content}]
//	prompt-completion  prompt, completion
//	preference         prompt, chosen, rejected, margin
//	ranking            prompt, responses [{text, rank}]
//	unpaired           prompt, completion, label
//	reasoning          problem, reasoning, answer, is_correct
//	code               problem, reasoning, code, tests, reward
//	steps              problem, steps [{step, reward}], final_answer
//	prompt             prompt
//
// With asMessages, prompts and answers are message lists, else they are text where
// the record has text.
func (r Record) Row(asMessages bool) Row {
	row := Row{File: r.File, Num: r.Num, Values: map[string]any{}}
	set := func(name string, v any) {
		row.Columns = append(row.Columns, name)
		row.Values[name] = v
	}
	content := func(c Content, role string) any {
		if c.Messages != nil || asMessages {
			return messageList(c.asMessages(role))
		}
		return c.Text
	}
	switch r.Kind {
	case KindText:
		set("text", r.Text)
	case KindChat:
		set("messages", messageList(r.Messages))
	case KindPrompt:
		set("prompt", content(r.Prompt, "user"))
	case KindCompletion, KindUnpaired:
		set("prompt", content(r.Prompt, "user"))
		set("completion", content(r.Completion, "assistant"))
		if r.Kind == KindUnpaired {
			set("label", truthValue(r.Label))
		}
	case KindPreference:
		set("prompt", content(r.Prompt, "user"))
		set("chosen", content(r.Chosen, "assistant"))
		set("rejected", content(r.Rejected, "assistant"))
		set("margin", numberValue(r.Margin))
	case KindRanking:
		set("prompt", content(r.Prompt, "user"))
		list := []any{}
		for _, p := range r.Responses {
			list = append(list, map[string]any{"text": p.Text, "rank": p.Rank})
		}
		set("responses", list)
	case KindReasoning:
		set("problem", r.Problem)
		set("reasoning", r.Rationale)
		set("answer", r.Answer)
		set("is_correct", truthValue(r.Correct))
	case KindCode:
		set("problem", r.Problem)
		set("reasoning", r.Rationale)
		set("code", r.Code)
		set("tests", testsValue(r.Tests))
		set("reward", numberValue(r.Reward))
	case KindSteps:
		set("problem", r.Problem)
		list := []any{}
		for _, s := range r.Steps {
			list = append(list, map[string]any{"step": s.Text, "reward": s.Reward})
		}
		set("steps", list)
		set("final_answer", r.Answer)
	}
	return row
}

// hasMessages says whether a prompt or answer of the record is a message list.
func (r Record) hasMessages() bool {
	for _, c := range []Content{r.Prompt, r.Completion, r.Chosen, r.Rejected} {
		if c.Messages != nil {
			return true
		}
	}
	return false
}

func messageList(msgs []chat.Message) []any {
	out := []any{}
	for _, m := range msgs {
		obj := map[string]any{"role": m.Role, "content": m.Content}
		if m.Train != nil {
			obj["train"] = *m.Train
		}
		for k, v := range m.Extra {
			obj[k] = v
		}
		out = append(out, obj)
	}
	return out
}

func truthValue(b *bool) any {
	if b == nil {
		return nil
	}
	return *b
}

func numberValue(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

// testsValue keeps lists and texts of tests; anything else becomes JSON text.
func testsValue(v any) any {
	switch x := v.(type) {
	case nil, string, map[string]any:
		return v
	case []any:
		for _, e := range x {
			if _, ok := e.(string); !ok {
				data, _ := json.Marshal(v)
				return string(data)
			}
		}
		return v
	}
	data, _ := json.Marshal(v)
	return string(data)
}
