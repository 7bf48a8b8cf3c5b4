package chat

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func trainedText(spans []Span) []string {
	var out []string
	for i, s := range spans {
		switch {
		case !s.Train:
		case i > 0 && spans[i-1].Train && spans[i-1].Role == s.Role:
			out[len(out)-1] += s.Text
		default:
			out = append(out, s.Text)
		}
	}
	return out
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

var dialogue = []Message{
	{Role: "system", Content: "S"},
	{Role: "user", Content: "Q1"},
	{Role: "assistant", Content: "A1"},
	{Role: "user", Content: "Q2"},
	{Role: "assistant", Content: "A2"},
}

// What each built-in template trains: the answers and the end of each turn, no header
// and no newline behind it.
func TestBuiltinsTrain(t *testing.T) {
	for name, end := range map[string]string{
		"zephyr": "</s>", "llama-2": " </s>", "llama-3": "<|eot_id|>", "chatml": "<|im_end|>", "qwen2.5": "<|im_end|>",
		"qwen2.5-math": "<|im_end|>", "phi": "<|endoftext|>", "phi-3": "<|end|>", "mistral": "</s>", "guanaco": "</s>", "alpaca": "</s>",
	} {
		tmpl, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		spans, err := tmpl.Render(dialogue, RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := "A1" + end + "|A2" + end
		if got := strings.Join(trainedText(spans), "|"); got != want {
			t.Errorf("%s trains %q, want %q", name, got, want)
		}
	}
	if got := len(Builtins()); got != 11 {
		t.Errorf("%d built-in templates; the test above knows 11", got)
	}
}

func TestPolicies(t *testing.T) {
	with := func(i int, train *bool) []Message {
		m := append([]Message{}, dialogue...)
		m[i].Train = train
		return m
	}
	plain, err := Builtin("chatml")
	if err != nil {
		t.Fatal(err)
	}
	marked, err := Find("testdata/generation.jinja", "")
	if err != nil {
		t.Fatal(err)
	}
	marked = marked.With(Options{EOS: "</s>"})
	for _, c := range []struct {
		name          string
		msgs          []Message
		o             RenderOptions
		plain, marked string
	}{
		{"zero", dialogue, RenderOptions{}, "A1<|im_end|>|A2<|im_end|>", "A1<|end|>|A2<|end|>|</s>"},
		{"last", dialogue, RenderOptions{TrainOn: TrainLast}, "A2<|im_end|>", "A2<|end|>|</s>"},
		{"completion", dialogue, RenderOptions{TrainOn: TrainCompletion}, "A2<|im_end|>", "A2<|end|>|</s>"},
		{"completion of four", dialogue, RenderOptions{TrainOn: TrainCompletion, PromptLen: 2}, "A1<|im_end|>|A2<|im_end|>", "A1<|end|>|A2<|end|>|</s>"},
		{"none", dialogue, RenderOptions{TrainOn: TrainNone}, "", ""},
		{"not the first", with(2, no()), RenderOptions{}, "A2<|im_end|>", "A2<|end|>|</s>"},
		{"a user too", with(1, yes()), RenderOptions{TrainOn: TrainNone}, "Q1<|im_end|>", "Q1<|end|>"},
	} {
		for _, v := range []struct {
			tmpl *Template
			want string
		}{{plain, c.plain}, {marked, c.marked}} {
			spans, err := v.tmpl.Render(c.msgs, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(trainedText(spans), "|"); got != v.want {
				t.Errorf("%s, %s: trains %q, want %q", c.name, v.tmpl.Name(), got, v.want)
			}
		}
	}
	spans, err := plain.Render(dialogue, RenderOptions{TrainOn: TrainAll})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		if !s.Train {
			t.Errorf("all: %q is not trained", s.Text)
		}
	}
}

// A message cannot make the trainer believe that it is somebody else's.
func TestForgedTurnsAreNotTrained(t *testing.T) {
	for _, name := range Builtins() {
		tmpl, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		forged, err := tmpl.Text([]Message{{Role: "user", Content: "x"}, {Role: "assistant", Content: "secret"}}, RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spans, err := tmpl.Render([]Message{{Role: "user", Content: forged}, {Role: "assistant", Content: "real"}}, RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(trainedText(spans), "|"); strings.Contains(got, "secret") || !strings.HasPrefix(got, "real") {
			t.Errorf("%s trains %q", name, got)
		}
	}
}

// A call of a tool is trained from behind the assistant's header to the end of turn.
func TestToolCallsAreTrained(t *testing.T) {
	src := `{%- for m in messages %}
{{- '<|im_start|>' + m.role }}
{%- if m.content %}{{ '\n' + m.content }}{% endif %}
{%- for c in m.tool_calls %}{{ '\n<call>' + c.name + ' ' + c.arguments | tojson + '</call>' }}{% endfor %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`
	tmpl, err := Parse(src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	call := []any{Object{{Key: "name", Value: "f"}, {Key: "arguments", Value: Object{{Key: "z", Value: int64(1)}, {Key: "a", Value: "x"}}}}}
	for content, want := range map[string]string{
		"":     `<call>f {"z": 1, "a": "x"}</call><|im_end|>`,
		"Hmm.": "Hmm.\n" + `<call>f {"z": 1, "a": "x"}</call><|im_end|>`,
	} {
		spans, err := tmpl.Render([]Message{
			{Role: "user", Content: "Q"},
			{Role: "assistant", Content: content, Extra: map[string]any{"tool_calls": call}},
			{Role: "tool", Content: "R"},
		}, RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(trainedText(spans), "|"); got != want {
			t.Errorf("trains %q, want %q", got, want)
		}
	}
}

// Two tokens may end a turn, an end token need not begin with a bar, and the prompt may
// open thoughts that a call of a tool has not.
func TestTurnEnds(t *testing.T) {
	const loop = "{% for m in messages %}<|turn>{{ m.role }}\n{{ m.content }}END\n{% endfor %}"
	const call = "{% for m in messages %}<|h|>{{ m.role }}\n{% if m.call %}<think></think><call>{{ m.call }}{% else %}{{ m.content }}{% endif %}END\n{% endfor %}{% if add_generation_prompt %}<|h|>assistant\n<think>\n{% endif %}"
	for _, c := range []struct{ src, end, want string }{
		{loop, "<turn|>", "A<turn|>"},
		{loop, "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", "A<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"},
		{loop, "<|im_end|><|start|>", "A<|im_end|>"},
		{call, "<|im_end|>", "<think></think><call>f<|im_end|>|A<|im_end|>"},
	} {
		tmpl, err := Parse(strings.ReplaceAll(c.src, "END", c.end), Options{})
		if err != nil {
			t.Fatal(err)
		}
		msgs := []Message{{Role: "user", Content: "Q"}, {Role: "assistant", Content: "A"}}
		if c.src == call {
			msgs = []Message{msgs[0], {Role: "assistant", Extra: map[string]any{"call": "f"}}, msgs[0], msgs[1]}
		}
		spans, err := tmpl.Render(msgs, RenderOptions{})
		if got := strings.Join(trainedText(spans), "|"); err != nil || got != c.want {
			t.Errorf("%s: trains %q, want %q (%v)", c.end, got, c.want, err)
		}
	}
}

// The generation prompt belongs to nobody, also where a template writes it in its loop.
func TestGenerationPromptHasNoOwner(t *testing.T) {
	tmpl, err := Parse("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if loop.last and add_generation_prompt %}<assistant>{% endif %}{% endfor %}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	spans, err := tmpl.Render([]Message{{Role: "user", Content: "Q"}}, RenderOptions{AddGenerationPrompt: true})
	if err != nil {
		t.Fatal(err)
	}
	if last := spans[len(spans)-1]; last.Text != "<assistant>" || last.Role != "" || last.Train {
		t.Errorf("last span %+v", last)
	}
}

func TestErrors(t *testing.T) {
	tmpl, err := Builtin("llama-2")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tmpl.Render([]Message{{Role: "assistant", Content: "x"}}, RenderOptions{})
	var e *Error
	if !errors.As(err, &e) || !e.Raised || e.Msg != "Conversation roles must alternate user/assistant/user/assistant/..." {
		t.Errorf("refused conversation: %v", err)
	}
	if _, err = tmpl.Render(nil, RenderOptions{}); !errors.As(err, &e) || e.Raised {
		t.Errorf("empty conversation: %v", err)
	}
	if _, err := Parse("a\n{% if %}", Options{Name: "x"}); !errors.As(err, &e) || e.Line != 2 || !strings.Contains(err.Error(), "x line 2") {
		t.Errorf("broken template: %v", err)
	}
	if _, err := Builtin("nonsense"); err == nil || !strings.Contains(err.Error(), "zephyr") {
		t.Errorf("unknown template: %v", err)
	}
	if _, err := ForTokenizer(t.TempDir()); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("no template: %v", err)
	}
	if _, err := ParseMessages([]byte(`[{"role":"user"},5]`)); err == nil {
		t.Error("a number passed as a message")
	}
}

func TestNow(t *testing.T) {
	tmpl, err := Parse("{{ strftime_now('%d %B %Y') }}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, o := range []RenderOptions{{Now: day}, {}} {
		got, err := tmpl.With(Options{Now: day}).Text(dialogue, o)
		if err != nil || got != "23 November 2026" {
			t.Errorf("now: %q %v", got, err)
		}
	}
}
