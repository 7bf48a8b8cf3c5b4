package notebook

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"ftlab/ftlib"
	"ftlab/ftlib/chat"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// fakeRun writes a run whose validation loss ends at last, and returns its folder.
func fakeRun(t *testing.T, out, name string, lr, last float64) string {
	t.Helper()
	run := ftlib.Run{Name: name, Out: out, Model: ftlib.Model{Path: "models/tiny"}, Data: ftlib.Data{Train: "rows.jsonl"}, LoRA: &ftlib.LoRA{R: 8}}
	run.Optim.LearningRate = lr
	run = run.Resolve()
	d, err := ckpt.Create(run.Dir(), run, ckpt.NewEnv())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for step := 1; step <= 8; step++ {
		loss := 2 + (last-2)*float64(step)/8
		for _, e := range []ftlib.Event{
			{Time: at, Type: ftlib.EventStep, Step: step, Steps: 8, Loss: &loss, LR: lr, GradNorm: loss},
			{Time: at, Type: ftlib.EventEval, Step: step, Steps: 8, Metrics: map[string]float64{"eval_loss": loss, "accuracy": 1 - loss/2}},
		} {
			if err := d.Event(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	return run.Dir()
}

func TestCompare(t *testing.T) {
	out := t.TempDir()
	a, b := fakeRun(t, out, "slow", 1e-4, 0.9), fakeRun(t, out, "fast", 1e-3, 0.3)
	text := plain(t, func() { Compare(a, b) })
	var line string
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "optim.learning_rate") || strings.HasPrefix(l, "accuracy") || strings.HasPrefix(l, "eval_loss") {
			line += strings.Join(strings.Fields(l), " ") + "\n"
		}
	}
	if want := "optim.learning_rate 0.0001 0.001\naccuracy 0.55 ★ 0.85\neval_loss 0.9 ★ 0.3\n"; line != want {
		t.Errorf("the table has\n%s, want\n%s in\n%s", line, want, text)
	}
	if strings.Contains(text, "lora.r") {
		t.Errorf("a setting that is the same is in the table:\n%s", text)
	}
	prefix := filepath.Join(out, "script")
	t.Setenv(PagesEnv, prefix)
	pages.n = 0
	plain(t, func() { Compare(a, b) })
	if page, err := os.ReadFile(prefix + "-1.html"); err != nil || !strings.Contains(string(page), "fast, validation") {
		t.Errorf("the chart's file: %v", err)
	}
	sent := cellOutputs(t, func() { Compare(a, b) })
	page := mime(sent[0], protocol.MIMETextHTML)
	for _, want := range []string{"ftlabChart.draw(", `"slow"`, `"fast, validation"`, "<td", "optim.learning_rate"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if len(sent) != 1 || !strings.HasPrefix(mime(sent[0], protocol.MIMEImageSVG), "<svg ") {
		t.Errorf("%d outputs, or no picture", len(sent))
	}
	if text := plain(t, func() { CompareMetric("grad_norm", a, b) }); !strings.Contains(text, "grad_norm") {
		t.Errorf("one metric: %s", text)
	}
	for want, f := range map[string]func(){
		"needs the folders":        func() { Compare() },
		"is not a run":             func() { Compare(t.TempDir()) },
		`has a metric "no_metric"`: func() { CompareMetric("no_metric", a) },
	} {
		if text := plain(t, f); !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	// Two runs of one name in two folders.
	c := fakeRun(t, filepath.Join(out, "more"), "fast", 1e-3, 0.5)
	if text := plain(t, func() { Compare(b, c) }); !strings.Contains(text, "more/fast") || !strings.Contains(text, "the same") {
		t.Errorf("two of one name:\n%s", text)
	}
}

func TestBest(t *testing.T) {
	v := func(values ...float64) (out []*float64) {
		for _, x := range values {
			out = append(out, &x)
		}
		return out
	}
	for name, want := range map[string]int{"eval_loss": 1, "accuracy": 2, "seconds": -1} {
		if got := best(name, v(2, 1, 3)); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if best("eval_loss", v(1, 1)) != -1 || best("eval_loss", v(1)) != -1 || best("eval_loss", []*float64{nil, nil}) != -1 {
		t.Error("where there is no best one, one is marked")
	}
}

// tiny is the folder of the teaching model.
func tiny(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(testkit.Root(), "models", "ft-tiny")
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		t.Skip("models/ft-tiny is missing")
	}
	return dir
}

// The rows of a conversation show who says what, and what of it is trained.
func TestMask(t *testing.T) {
	mask := Mask{Model: tiny(t), MaxLength: 40}
	record := corpus.Record{Kind: corpus.KindChat, Num: 7, Messages: []chat.Message{
		{Role: "user", Content: "What is a cat?"}, {Role: "assistant", Content: "A small animal <b>."}}}
	sent := cellOutputs(t, func() { mask.Show(record) })
	page := mime(sent[0], protocol.MIMETextHTML)
	for _, want := range []string{"row 7, chat", "user, context", "assistant, trained", "tokens are trained", "&lt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "user, trained") {
		t.Error("the question is trained")
	}
	short := Mask{Model: mask.Model, MaxLength: 3}
	if text := plain(t, func() { short.Show(record) }); !strings.Contains(text, "refused: ") || !strings.Contains(text, "are cut") {
		t.Errorf("a row whose answer is cut off:\n%s", text)
	}
	file := filepath.Join(testkit.Root(), "datasets", "chat", "train.parquet")
	if text := plain(t, func() { mask.File(file, 2) }); !strings.Contains(text, "row 1, chat") || !strings.Contains(text, "row 2, chat") || strings.Contains(text, "row 3") {
		t.Errorf("two rows of a file:\n%s", text)
	}
	pair := corpus.Record{Kind: corpus.KindPreference, Num: 3, Prompt: corpus.Content{Text: "Say hi."}, Chosen: corpus.Content{Text: " Hello."}, Rejected: corpus.Content{Text: " No."}}
	text := strings.ReplaceAll(plain(t, func() { mask.Show(pair) }), "·", "")
	if _, rejected, ok := strings.Cut(text, "row 3, rejected"); !ok || !strings.Contains(rejected, "No") || !strings.Contains(text, "row 3, chosen") || strings.Contains(rejected, "Hello") {
		t.Errorf("both sides of a preference:\n%s", text)
	}
	if text := plain(t, func() { Mask{}.Show(record) }); !strings.Contains(text, "needs Model") {
		t.Error(text)
	}
	if text := plain(t, func() { mask.File("none.parquet", 2) }); !strings.Contains(text, "none.parquet") {
		t.Error(text)
	}
}

// Every voice answers every prompt with its own adapter, and the model is left as it was.
func TestGenerate(t *testing.T) {
	backend := testkit.Backend(t)
	dir := tiny(t)
	model, err := llm.Load(backend, dir, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	tokenizer, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var adapters []*llm.Adapter
	for seed := range int64(2) {
		a, err := model.NewAdapter(ftlib.LoRA{R: 4}, seed)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		adapters = append(adapters, a)
	}
	model.SetAdapter(adapters[1])
	g := Generate{Model: model, Tokenizer: tokenizer, Sampling: llm.Sampling{MaxNew: 8}, Want: []string{"x", "y"},
		Voices: []Voice{{Name: "base"}, {"new", adapters[0]}}}
	prompts := []string{"The cat sat on", "Review: a good film.\nSentiment:"}
	v, err := g.ask(context.Background(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	if model.Adapter() != adapters[1] {
		t.Error("the model has another adapter than before")
	}
	for i, a := range v {
		// An adapter that was not trained changes nothing.
		if a.prompt != prompts[i] || fmt.Sprint(a.names) != "[base new]" || len(a.got) != 2 || a.got[0] != a.got[1] || a.got[0] == "" || a.want != g.Want[i] {
			t.Errorf("%d: %+v", i, a)
		}
	}
	page, err := v.HTML()
	if err != nil || !strings.Contains(page, "repeat(2,") || !strings.Contains(page, "8 tokens, not ended") || !strings.Contains(page, "right: y") {
		t.Errorf("%v\n%s", err, page)
	}
	if text := v.Text(); !strings.Contains(text, "\n  base   ✗ ") {
		t.Errorf("in a terminal:\n%s", text)
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if v, err := g.ask(stopped, prompts); err == nil || len(v) != 0 {
		t.Errorf("interrupted at once: %v, %v", v, err)
	}
	g.Want = g.Want[:1]
	for want, f := range map[string]func() error{
		"needs Model":               func() error { return second(Generate{}.ask(stopped, prompts)) },
		"needs a prompt":            func() error { return second(g.ask(stopped, nil)) },
		"2 prompts and 1 right ans": func() error { return second(g.ask(stopped, prompts)) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
