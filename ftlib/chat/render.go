package chat

import (
	"regexp"
	"sort"
	"strings"

	"ftlab/ftlib/chat/jinja"
)

// Render fills the template with a conversation and says which text came from whom and
// what of it is trained. The spans joined are what Text gives. An error of type *Error
// with Raised set is the template's own refusal of the conversation.
func (t *Template) Render(msgs []Message, o RenderOptions) ([]Span, error) {
	out, err := t.run(msgs, o)
	if err != nil {
		return nil, err
	}
	a := &attribution{t: t, msgs: msgs, o: o, out: out}
	a.paint()
	if o.AddGenerationPrompt {
		a.disown()
	}
	a.train()
	return a.spans(), nil
}

// attribution works out owner and training of every byte of a rendering.
type attribution struct {
	t     *Template
	msgs  []Message
	o     RenderOptions
	out   jinja.Output
	owner []int32 // [len(text)] number of the message from 1; 0: the template
	on    []bool  // [len(text)] trained
	input []jinja.Marked
}

// paint gives every byte its owner: first the literals of loops, over them what was
// read from messages.
func (a *attribution) paint() {
	a.owner = make([]int32, len(a.out.Text))
	a.on = make([]bool, len(a.out.Text))
	for _, m := range a.out.Marks {
		if m.Kind == jinja.Literal {
			for i := m.From; i < m.To; i++ {
				a.owner[i] = int32(m.Tag)
			}
		}
	}
	for _, m := range a.out.Marks {
		if m.Kind == jinja.Content || m.Kind == jinja.Property {
			a.input = append(a.input, m)
			for i := m.From; i < m.To; i++ {
				a.owner[i] = int32(m.Tag)
			}
		}
	}
	sort.SliceStable(a.input, func(i, j int) bool { return a.input[i].From < a.input[j].From })
}

// disown takes the generation prompt away from the message that it follows: some
// templates write it inside their loop.
func (a *attribution) disown() {
	o := a.o
	o.AddGenerationPrompt = false
	bare, err := a.t.run(a.msgs, o)
	if err != nil || !strings.HasPrefix(a.out.Text, bare.Text) {
		return
	}
	for i := len(bare.Text); i < len(a.out.Text); i++ {
		a.owner[i] = 0
	}
}

func isAssistant(role string) bool { return role == "assistant" || role == "model" }

// wanted says which messages the policy trains.
func (a *attribution) wanted() []bool {
	want := make([]bool, len(a.msgs))
	last := -1
	for i, m := range a.msgs {
		if isAssistant(m.Role) {
			last = i
		}
	}
	from := a.o.PromptLen
	if from == 0 {
		from = len(a.msgs) - 1
	}
	for i, m := range a.msgs {
		switch a.o.TrainOn {
		case TrainAssistant, "":
			want[i] = isAssistant(m.Role)
		case TrainCompletion:
			want[i] = isAssistant(m.Role) && i >= from
		case TrainLast:
			want[i] = i == last
		case TrainAll:
			want[i] = true
		}
		if m.Train != nil {
			want[i] = *m.Train
		}
	}
	return want
}

func (a *attribution) train() {
	want := a.wanted()
	if a.o.TrainOn == TrainAll {
		for i, n := range a.owner {
			a.on[i] = n == 0 || want[n-1]
		}
		return
	}
	marked := make([]bool, len(a.msgs)) // the template says itself what this message trains
	for _, m := range a.out.Marks {
		if m.Kind != jinja.Generation {
			continue
		}
		n := m.Tag
		if n == 0 { // outside the loop over messages: what ends the last answer
			n = len(a.msgs)
			for n > 1 && !isAssistant(a.msgs[n-1].Role) {
				n--
			}
		}
		marked[n-1] = true
		if want[n-1] {
			a.learn(n, m.From, m.To)
		}
	}
	generation := false
	if j, err := a.t.variant(a.o); err == nil {
		generation = j.HasGeneration
	}
	for i := range a.msgs {
		// With {% generation %} in the template, a message outside such a block is
		// trained only when it asks for that itself.
		if !want[i] || marked[i] || generation && a.msgs[i].Train == nil {
			continue
		}
		for _, c := range a.clusters(i + 1) {
			from, to := c.from, a.turnEnd(i+1, c.to)
			if !c.content {
				from = a.afterHeader(i, c.from)
			}
			a.learn(i+1, from, to)
		}
	}
}

// learn marks the bytes [from, to) as written by message n: also the template's own
// among them, such as an end token outside its loop, are its.
func (a *attribution) learn(n, from, to int) {
	for i := from; i < to; i++ {
		a.on[i] = true
		if a.owner[i] == 0 {
			a.owner[i] = int32(n)
		}
	}
}

// cluster is a stretch [from, to) that belongs to one message: its texts and the
// template's own between them.
type cluster struct {
	from, to int
	content  bool // starts with the message's text, not with another key of it
}

func (a *attribution) clusters(n int) []cluster {
	var out []cluster
	for _, m := range a.input {
		if m.Tag != n {
			continue
		}
		if k := len(out) - 1; k >= 0 && a.uninterrupted(n, out[k].to, m.From) {
			out[k].to = max(out[k].to, m.To)
			continue
		}
		out = append(out, cluster{m.From, m.To, m.Kind == jinja.Content})
	}
	return out
}

func (a *attribution) uninterrupted(n, from, to int) bool {
	for i := from; i < to; i++ {
		if a.owner[i] != int32(n) && a.owner[i] != 0 {
			return false
		}
	}
	return true
}

// specialToken is a token in angle brackets, as they end turns.
var specialToken = regexp.MustCompile(`<\|[^|<>\s]{1,60}\|>|<\w{1,60}\|>|<｜[^<>]{1,60}｜>|</s>|<eos>|<end_of_turn>`)

// further matches a token that ends a turn too where one has just ended something:
// <|END_RESPONSE|><|END_OF_TURN_TOKEN|>.
var further = regexp.MustCompile(`(?i)end_?of_?turn|eot|im_end`)

// header matches tokens that open a turn and never close one.
var header = regexp.MustCompile(`(?i)start|header|begin|\|(user|assistant|system|tool|observation|human|bot)\|`)

// turnEnd is where the end-of-turn token stops that follows the text of message n
// ending at to; to itself when there is none.
func (a *attribution) turnEnd(n, to int) int {
	end := to
	for end < len(a.owner) && (a.owner[end] == int32(n) || a.owner[end] == 0) {
		end++
	}
	for _, m := range a.input { // an empty text of another message ends it too
		if m.Tag != n && m.From == m.To && m.From >= to {
			end = min(end, m.From)
			break
		}
	}
	tail := a.out.Text[to:end]
	own := to
	for own < end && a.owner[own] == int32(n) {
		own++
	}
	at, stop := len(tail), -1
	if m := specialToken.FindStringIndex(tail); m != nil {
		at = m[0]
		if !header.MatchString(tail[m[0]:m[1]]) {
			stop = m[1]
		}
	}
	if eos := a.t.EOS(); eos != "" {
		if i := strings.Index(tail, eos); i >= 0 && i <= at {
			at, stop = i, i+len(eos)
		}
	}
	// What the template writes between text and token (a closing tag, a space) is the
	// model's to write too, when it surely belongs to this message.
	if stop >= 0 && (to+at <= own || strings.TrimSpace(tail[:at]) == "") {
		if m := specialToken.FindStringIndex(tail[stop:]); m != nil && m[0] == 0 && further.MatchString(tail[stop:stop+m[1]]) && !header.MatchString(tail[stop:stop+m[1]]) {
			stop += m[1]
		}
		return to + stop
	}
	// No token ends this turn: the white space that the template itself writes behind
	// the answer is all that says it is over.
	if strings.TrimSpace(a.out.Text[to:own]) == "" {
		return own
	}
	return to
}

// afterHeader finds where a message begins whose text is missing (a call of a tool):
// behind what the template writes as generation prompt.
func (a *attribution) afterHeader(i, from int) int {
	if i == 0 {
		return from
	}
	o := a.o
	o.AddGenerationPrompt = false
	bare, err1 := a.t.run(a.msgs[:i], o)
	o.AddGenerationPrompt = true
	with, err2 := a.t.run(a.msgs[:i], o)
	if err1 != nil || err2 != nil {
		return from
	}
	prompt, ok := strings.CutPrefix(with.Text, bare.Text)
	if !ok || prompt == "" {
		return from
	}
	start := from
	for start > 0 && (a.owner[start-1] == int32(i+1) || a.owner[start-1] == 0) {
		start--
	}
	line, _, _ := strings.Cut(prompt, "\n") // what follows may stand for thoughts that this message has not
	for _, p := range []string{prompt, line + "\n"} {
		if at := strings.LastIndex(a.out.Text[start:from], p); at >= 0 {
			return start + at + len(p)
		}
	}
	return from
}

// spans groups bytes of one owner and one training state.
func (a *attribution) spans() []Span {
	var out []Span
	text := a.out.Text
	for i := 0; i < len(text); {
		j := i + 1
		for j < len(text) && a.owner[j] == a.owner[i] && a.on[j] == a.on[i] {
			j++
		}
		s := Span{Text: text[i:j], Train: a.on[i]}
		if n := a.owner[i]; n > 0 {
			s.Role = a.msgs[n-1].Role
		}
		if k := len(out) - 1; k >= 0 && out[k].Role == s.Role && out[k].Train == s.Train && a.owner[i] == a.owner[i-1] {
			out[k].Text += s.Text
		} else {
			out = append(out, s)
		}
		i = j
	}
	return out
}
