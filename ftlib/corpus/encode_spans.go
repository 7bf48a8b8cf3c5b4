package corpus

import (
	"strings"

	"ftlab/ftlib/chat"
)

// SpanOptions say how a record becomes text.
type SpanOptions struct {
	TrainOn    chat.Policy    // zero: assistant turns, completions, all of a plain text
	EOS        string         // written after a plain text or completion; zero: the template's, else none
	System     string         // system message of conversations that have none; zero: none
	Chat       bool           // plain prompts and completions become turns of the template
	Prompt     string         // how problems and plain prompts are written, with {prompt} in it; they do not go through the template then; zero: see Spans
	Answer     string         // how a worked solution is written, with {rationale} and {answer}; zero: the rationale, AnswerMark, the answer
	AnswerMark string         // between rationale and answer; zero: "\n#### "
	Tools      []any          // given to the template
	Extra      map[string]any // further variables of the template
}

func (o SpanOptions) mark() string {
	if o.AnswerMark == "" {
		return "\n#### "
	}
	return o.AnswerMark
}

// Spans writes a record as text and says what of it is trained by supervised
// fine-tuning.
//
//	text               all of it and EOS
//	chat               the template; assistant turns with their end
//	prompt-completion  completion and EOS; messages through the template
//	preference         prompt and the chosen answer, as prompt-completion
//	ranking            prompt and the best response
//	unpaired           the completion, when its label is good
//	reasoning          problem, then rationale and answer: "... \n#### 42"
//	code               problem, then rationale and code in a fence
//	steps              problem, then the steps line by line, and the answer
//
// Plain prompts and completions are joined as they stand, as TRL does; set Chat to put
// them through the template. Problems of the last three kinds go through the template
// when there is one. A record that holds nothing to train is a *Refusal; a conversation
// that the template refuses is a *chat.Error.
func Spans(r Record, tmpl *chat.Template, o SpanOptions) ([]chat.Span, error) {
	if o.EOS == "" && tmpl != nil {
		o.EOS = tmpl.EOS()
	}
	switch r.Kind {
	case KindText:
		return ended([]chat.Span{{Text: r.Text, Train: o.TrainOn != chat.TrainNone}}, o.EOS), nil
	case KindChat:
		return renderChat(r, tmpl, r.Messages, 0, o)
	case KindCompletion:
		return pairSpans(r, tmpl, r.Prompt, r.Completion, o)
	case KindPreference:
		return pairSpans(r, tmpl, r.Prompt, r.Chosen, o)
	case KindUnpaired:
		if r.Label != nil && !*r.Label {
			return nil, &Refusal{r.File, r.Num, NothingTrained, "its label says that the completion is bad", "leave such rows out, or use a method for unpaired data"}
		}
		return pairSpans(r, tmpl, r.Prompt, r.Completion, o)
	case KindRanking:
		if len(r.Responses) == 0 {
			break
		}
		best := r.Responses[0]
		for _, x := range r.Responses[1:] {
			if x.Rank < best.Rank {
				best = x
			}
		}
		return pairSpans(r, tmpl, r.Prompt, Content{Text: best.Text}, o)
	case KindReasoning:
		return taskSpans(r, tmpl, o.worked(r.Rationale, r.Answer), o)
	case KindCode:
		answer := r.Code
		if r.Rationale != "" {
			answer = r.Rationale + "\n```\n" + strings.TrimSuffix(r.Code, "\n") + "\n```"
		}
		return taskSpans(r, tmpl, answer, o)
	case KindSteps:
		lines := make([]string, len(r.Steps))
		for i, s := range r.Steps {
			lines[i] = s.Text
		}
		return taskSpans(r, tmpl, o.worked(strings.Join(lines, "\n"), r.Answer), o)
	}
	return nil, &Refusal{r.File, r.Num, NothingTrained, "a row of kind " + string(r.Kind) + " holds no text to learn", "use a method that generates, or another file"}
}

// PairSpans writes the two sides of a preference, each as prompt and trained answer.
func PairSpans(r Record, tmpl *chat.Template, o SpanOptions) (chosen, rejected []chat.Span, err error) {
	if o.EOS == "" && tmpl != nil {
		o.EOS = tmpl.EOS()
	}
	if chosen, err = pairSpans(r, tmpl, r.Prompt, r.Chosen, o); err != nil {
		return nil, nil, err
	}
	rejected, err = pairSpans(r, tmpl, r.Prompt, r.Rejected, o)
	return chosen, rejected, err
}

// written is a plain prompt in the form that Prompt gives it.
func (o SpanOptions) written(prompt string) string {
	if o.Prompt == "" {
		return prompt
	}
	return strings.ReplaceAll(o.Prompt, "{prompt}", prompt)
}

// rendered says whether a record goes through the template, which then writes BOS.
func rendered(r Record, tmpl *chat.Template, o SpanOptions) bool {
	switch r.Kind {
	case KindText:
		return false
	case KindChat:
		return true
	case KindReasoning, KindCode, KindSteps:
		return tmpl != nil && o.Prompt == ""
	}
	if o.Prompt != "" && r.Prompt.Messages == nil {
		return false
	}
	return r.Prompt.Messages != nil || r.Completion.Messages != nil || r.Chosen.Messages != nil || o.Chat && tmpl != nil
}

// worked is a solution with its answer.
func (o SpanOptions) worked(rationale, answer string) string {
	if o.Answer != "" {
		return strings.NewReplacer("{rationale}", strings.TrimSpace(rationale), "{answer}", answer).Replace(o.Answer)
	}
	return worked(rationale, answer, o.mark())
}

func worked(rationale, answer, mark string) string {
	boxed, ok := Boxed(rationale)
	switch {
	case answer == "" || ok && boxed == answer || strings.HasSuffix(rationale, mark+answer):
		return rationale
	case rationale == "":
		return answer
	}
	return rationale + mark + answer
}

func ended(spans []chat.Span, eos string) []chat.Span {
	last := &spans[len(spans)-1]
	if eos != "" && !strings.HasSuffix(last.Text, eos) {
		last.Text += eos
	}
	return spans
}

// taskSpans writes a problem and its solution.
func taskSpans(r Record, tmpl *chat.Template, answer string, o SpanOptions) ([]chat.Span, error) {
	if o.Prompt != "" {
		return pairSpans(r, nil, Content{Text: r.Problem}, Content{Text: answer}, o)
	}
	if tmpl != nil {
		o.Chat = true
		return pairSpans(r, tmpl, Content{Text: r.Problem}, Content{Text: answer}, o)
	}
	return pairSpans(r, nil, Content{Text: strings.TrimRight(r.Problem, "\n") + "\n"}, Content{Text: answer}, o)
}

// pairSpans writes a prompt and what follows it.
func pairSpans(r Record, tmpl *chat.Template, prompt, answer Content, o SpanOptions) ([]chat.Span, error) {
	if prompt.Messages == nil && o.Prompt != "" {
		prompt.Text, tmpl = o.written(prompt.Text), nil
	}
	if prompt.Messages == nil && answer.Messages == nil && !(o.Chat && tmpl != nil) {
		train := o.TrainOn != chat.TrainNone
		spans := []chat.Span{{Text: prompt.Text, Role: "user", Train: o.TrainOn == chat.TrainAll}}
		if prompt.Text == "" {
			spans = nil
		}
		return ended(append(spans, chat.Span{Text: answer.Text, Role: "assistant", Train: train}), o.EOS), nil
	}
	msgs := prompt.Messages
	if msgs == nil && prompt.Text != "" {
		msgs = []chat.Message{{Role: "user", Content: prompt.Text}}
	}
	n := len(msgs)
	more := answer.Messages
	if more == nil {
		more = []chat.Message{{Role: "assistant", Content: answer.Text}}
	}
	msgs = append(msgs[:n:n], more...)
	if o.TrainOn == "" || o.TrainOn == chat.TrainAssistant {
		o.TrainOn = chat.TrainCompletion
	}
	return renderChat(r, tmpl, msgs, n, o)
}

func renderChat(r Record, tmpl *chat.Template, msgs []chat.Message, prompt int, o SpanOptions) ([]chat.Span, error) {
	if tmpl == nil {
		return nil, &Refusal{r.File, r.Num, TemplateRefused, "a conversation, and no chat template to write it with", "name a template: " + strings.Join(chat.Builtins(), ", ")}
	}
	if o.System != "" && (len(msgs) == 0 || msgs[0].Role != "system") {
		msgs = append([]chat.Message{{Role: "system", Content: o.System}}, msgs...)
		prompt++
	}
	if o.TrainOn == chat.TrainCompletion && prompt == 0 {
		prompt = len(msgs) - 1
	}
	return tmpl.Render(msgs, chat.RenderOptions{TrainOn: o.TrainOn, PromptLen: prompt, Tools: o.Tools, Extra: o.Extra})
}
