package corpus

import (
	"errors"
	"strings"
	"testing"

	"ftlab/ftlib/chat"
)

// spansText writes trained spans in brackets.
func spansText(spans []chat.Span) string {
	var b strings.Builder
	for _, s := range spans {
		if s.Train {
			b.WriteString("[" + s.Text + "]")
		} else {
			b.WriteString(s.Text)
		}
	}
	return b.String()
}

func TestSpans(t *testing.T) {
	chatml, err := chat.Builtin("chatml")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := true, false
	talk := []chat.Message{{Role: "user", Content: "q"}, {Role: "assistant", Content: "a"}, {Role: "user", Content: "r"}, {Role: "assistant", Content: "b"}}
	const u, as, e = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"
	for name, c := range map[string]struct {
		r    Record
		tmpl *chat.Template
		o    SpanOptions
		want string
	}{
		"text":                  {Record{Kind: KindText, Text: "once"}, nil, SpanOptions{EOS: "</s>"}, "[once</s>]"},
		"text has its end":      {Record{Kind: KindText, Text: "once</s>"}, nil, SpanOptions{EOS: "</s>"}, "[once</s>]"},
		"chat":                  {Record{Kind: KindChat, Messages: talk}, chatml, SpanOptions{}, u + "q" + e + "\n" + as + "[a" + e + "]\n" + u + "r" + e + "\n" + as + "[b" + e + "]\n"},
		"chat, last":            {Record{Kind: KindChat, Messages: talk}, chatml, SpanOptions{TrainOn: chat.TrainLast}, u + "q" + e + "\n" + as + "a" + e + "\n" + u + "r" + e + "\n" + as + "[b" + e + "]\n"},
		"chat, system":          {Record{Kind: KindChat, Messages: talk[:2]}, chatml, SpanOptions{System: "s"}, "<|im_start|>system\ns" + e + "\n" + u + "q" + e + "\n" + as + "[a" + e + "]\n"},
		"completion":            {Record{Kind: KindCompletion, Prompt: Content{Text: "q "}, Completion: Content{Text: "a"}}, chatml, SpanOptions{EOS: "</s>"}, "q [a</s>]"},
		"completion, all":       {Record{Kind: KindCompletion, Prompt: Content{Text: "q "}, Completion: Content{Text: "a"}}, nil, SpanOptions{TrainOn: chat.TrainAll}, "[q ][a]"},
		"completion as chat":    {Record{Kind: KindCompletion, Prompt: Content{Text: "q"}, Completion: Content{Text: "a"}}, chatml, SpanOptions{Chat: true}, u + "q" + e + "\n" + as + "[a" + e + "]\n"},
		"completion, messages":  {Record{Kind: KindCompletion, Prompt: Content{Messages: talk[:3]}, Completion: Content{Messages: talk[3:]}}, chatml, SpanOptions{}, u + "q" + e + "\n" + as + "a" + e + "\n" + u + "r" + e + "\n" + as + "[b" + e + "]\n"},
		"preference":            {Record{Kind: KindPreference, Prompt: Content{Text: "q "}, Chosen: Content{Text: "a"}, Rejected: Content{Text: "b"}}, nil, SpanOptions{EOS: "</s>"}, "q [a</s>]"},
		"ranking":               {Record{Kind: KindRanking, Prompt: Content{Text: "q "}, Responses: []Response{{"b", 2}, {"a", 1}}}, nil, SpanOptions{}, "q [a]"},
		"unpaired":              {Record{Kind: KindUnpaired, Prompt: Content{Text: "q "}, Completion: Content{Text: "a"}, Label: &good}, nil, SpanOptions{}, "q [a]"},
		"reasoning":             {Record{Kind: KindReasoning, Problem: "p", Rationale: "r", Answer: "42"}, nil, SpanOptions{EOS: "</s>"}, "p\n[r\n#### 42</s>]"},
		"reasoning, template":   {Record{Kind: KindReasoning, Problem: "p", Rationale: "r", Answer: "42"}, chatml, SpanOptions{}, u + "p" + e + "\n" + as + "[r\n#### 42" + e + "]\n"},
		"reasoning, marked":     {Record{Kind: KindReasoning, Problem: "p", Rationale: "r\n#### 42", Answer: "42"}, nil, SpanOptions{}, "p\n[r\n#### 42]"},
		"reasoning, answer":     {Record{Kind: KindReasoning, Problem: "p", Answer: "42"}, nil, SpanOptions{}, "p\n[42]"},
		"code":                  {Record{Kind: KindCode, Problem: "p", Rationale: "r", Code: "x = 1\n"}, nil, SpanOptions{}, "p\n[r\n```\nx = 1\n```]"},
		"code alone":            {Record{Kind: KindCode, Problem: "p", Code: "x = 1"}, nil, SpanOptions{}, "p\n[x = 1]"},
		"steps":                 {Record{Kind: KindSteps, Problem: "p", Steps: []Step{{"s1", 1}, {"s2", 1}}, Answer: "42"}, nil, SpanOptions{}, "p\n[s1\ns2\n#### 42]"},
		"unpaired, bad":         {Record{Kind: KindUnpaired, Prompt: Content{Text: "q "}, Completion: Content{Text: "a"}, Label: &bad}, nil, SpanOptions{}, "refused"},
		"prompt only":           {Record{Kind: KindPrompt, Prompt: Content{Text: "q"}}, nil, SpanOptions{}, "refused"},
		"chat without template": {Record{Kind: KindChat, Messages: talk}, nil, SpanOptions{}, "refused"},
	} {
		c.r.File, c.r.Num = "f", 3
		spans, err := Spans(c.r, c.tmpl, c.o)
		if c.want == "refused" {
			var r *Refusal
			if !errors.As(err, &r) || r.Num != 3 {
				t.Errorf("%s: %v, want a refusal", name, err)
			}
			continue
		}
		if got := spansText(spans); err != nil || got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
	chosen, rejected, err := PairSpans(Record{Prompt: Content{Text: "q "}, Chosen: Content{Text: "a"}, Rejected: Content{Text: "b"}}, nil, SpanOptions{EOS: "!"})
	if err != nil || spansText(chosen) != "q [a!]" || spansText(rejected) != "q [b!]" {
		t.Errorf("pair: %q %q %v", spansText(chosen), spansText(rejected), err)
	}
}

func TestEncodeRecord(t *testing.T) {
	w := newWordTok()
	w.bos = true
	tmpl, err := chat.Parse("{% for m in messages %}{{ m.content }} {{ eos_token }}{% endfor %}{{ raise_exception('no') if messages | length == 1 }}", chat.Options{EOS: "</s>"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r    Record
		want string
	}{
		"plain text gets BOS and EOS": {Record{Kind: KindText, Text: "a b"}, "<s>[a][ b][</s>]"},
		"a template's text no BOS":    {Record{Kind: KindChat, Messages: []chat.Message{{Role: "user", Content: "q"}, {Role: "assistant", Content: "a"}}}, "q </s>[a][ ][</s>]"},
	} {
		ex, err := EncodeRecord(w, c.r, tmpl, SpanOptions{}, EncodeOptions{})
		if got := shown(w, ex); err != nil || got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, c.want)
		}
	}
	_, err = EncodeRecord(w, Record{Kind: KindChat, Messages: []chat.Message{{Role: "user", Content: "q"}}, File: "f", Num: 9}, tmpl, SpanOptions{}, EncodeOptions{})
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != TemplateRefused || r.Num != 9 {
		t.Errorf("a refusing template: %v", err)
	}
}
