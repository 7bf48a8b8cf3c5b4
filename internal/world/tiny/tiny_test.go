package tiny

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/chat"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
	"ftlab/internal/world"
)

func model(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(testkit.Root(), "models", "ft-tiny")
	if !exists(dir) {
		t.Fatal("models/ft-tiny is missing; make it with: go run ./internal/world/cmd/pretrain models/ft-tiny")
	}
	return dir
}

// The whole way, small: text, tokenizer, weights, the training loop, files.
func TestSmallModelLearnsAndIsPublished(t *testing.T) {
	s := FTTiny.Small()
	work, out := t.TempDir(), filepath.Join(t.TempDir(), "model")
	res, err := s.Train(context.Background(), work, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.FirstLoss < 5.5 || res.Loss > res.FirstLoss-1 {
		t.Errorf("loss %.2f -> %.2f in %d steps; a fresh model of %d tokens begins near %.2f and learns fast", res.FirstLoss, res.Loss, res.Steps, s.Vocab, 6.24)
	}
	if res.EvalLoss == nil || *res.EvalLoss > res.FirstLoss-1 {
		t.Errorf("held-out loss %v", res.EvalLoss)
	}
	if err := s.Publish(res.Checkpoint, work, out); err != nil {
		t.Fatal(err)
	}
	b, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.Load(b, out, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if n := m.Config.Params(); n != s.Params() {
		t.Errorf("%d weights, the specification has %d", n, s.Params())
	}
	again, err := s.Train(context.Background(), work, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again.Step != res.Step || again.Checkpoint != res.Checkpoint {
		t.Errorf("a second call went from step %d to %d; it must find the finished run", res.Step, again.Step)
	}
}

func TestTextFileHoldsTheDocuments(t *testing.T) {
	s := FTTiny.Small()
	path := filepath.Join(t.TempDir(), "text.jsonl")
	const n = together + 3
	if err := s.WriteText(path, "pretraining", n); err != nil {
		t.Fatal(err)
	}
	var docs []string
	rows := 0
	for row, err := range corpus.Open(path, corpus.OpenOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		docs = append(docs, strings.Split(row.Values["text"].(string), eosText+bosText)...)
	}
	if rows != 2 || len(docs) != n {
		t.Fatalf("%d documents in %d rows, want %d in 2", len(docs), rows, n)
	}
	i := 0
	for d := range world.New(s.Seed).Documents("pretraining", n) {
		if docs[i] != d.Text {
			t.Fatalf("document %d is %q, want %q", i, docs[i], d.Text)
		}
		i++
	}
}

func TestModelInTheRepository(t *testing.T) {
	dir := model(t)
	c, err := llm.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := FTTiny
	if c.Params() != s.Params() || c.Vocab != s.Vocab || c.Layers != s.Layers || !c.Tied || c.MaxPositions != s.Positions {
		t.Errorf("config.json %+v does not fit the specification", c)
	}
	w, err := safetensors.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	n := 0
	for _, name := range w.Names() {
		x, err := w.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if x.DType != safetensors.F16 {
			t.Errorf("%s is %s, want F16", name, x.DType)
		}
		n += x.Elements()
	}
	if n != s.Params() {
		t.Errorf("%d weights in the file, want %d", n, s.Params())
	}
	if info, err := os.Stat(filepath.Join(dir, "model.safetensors")); err != nil || info.Size() > 5<<20 {
		t.Errorf("model.safetensors: %v, %v; want a few MB", info.Size(), err)
	}
	card, err := s.ReadCard(dir)
	if err != nil {
		t.Fatal(err)
	}
	if hash := s.Hash(); card.Documents != hash {
		t.Errorf("the world's documents have changed (%s, the model was trained on %s): pretrain the model again", hash, card.Documents)
	}
	want, err := card.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("README.md is not made of measured.json; write both with: go run ./internal/world/cmd/pretrain -measure models/ft-tiny")
	}
}

// The model must be what the lessons build on, in bounds that another machine's
// rounding does not leave.
func TestModelCanDoWhatItsCardSays(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: generates for a minute")
	}
	r, err := Measure(model(t), 100) // the standard error of a share of .25 is 4 points
	if err != nil {
		t.Fatal(err)
	}
	card, err := FTTiny.ReadCard(model(t))
	if err != nil {
		t.Fatal(err)
	}
	within := func(what string, got, said Share, low, high float64) {
		if got.Rate() < low || got.Rate() > high {
			t.Errorf("%s: %s, want %.2f to %.2f", what, got, low, high)
		}
		if d := got.Rate() - said.Rate(); d > 0.15 || d < -0.15 {
			t.Errorf("%s: %s, the card says %s", what, got, said)
		}
	}
	within("facts", r.Facts, card.Results.Facts, 0.95, 1)
	within("equations", r.Equations, card.Results.Equations, 0.95, 1)
	within("two steps, greedy", r.Greedy[1], card.Results.Greedy[1], 0.08, 0.38)
	within("two steps, sampled", r.Sampled[1], card.Results.Sampled[1], 0.08, 0.38)
	within("two steps, with a hint", r.Hinted[1], card.Results.Hinted[1], 0.7, 1)
	within("three steps, greedy", r.Greedy[2], card.Results.Greedy[2], 0.01, 0.25)
}

// The tokenizer is a function of the seed: what is in the repository can be made again.
func TestTokenizerIsMadeAgain(t *testing.T) {
	s := FTTiny
	dir := t.TempDir()
	b, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteStart(b, dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "generation_config.json"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(model(t), name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what the seed gives", name)
		}
	}
}

func TestTokenizer(t *testing.T) {
	tok, err := token.Load(model(t))
	if err != nil {
		t.Fatal(err)
	}
	if tok.Size() != FTTiny.Vocab {
		t.Errorf("%d tokens, want %d", tok.Size(), FTTiny.Vocab)
	}
	if sp := tok.Special(); sp.BOS != BOS || sp.EOS != EOS || sp.PAD != PAD {
		t.Errorf("special tokens %+v", sp)
	}
	for _, word := range []string{" positive", " negative", " Anna", " Oakville", "Problem", " wonderful", " dull", "7"} {
		if ids := tok.Encode(word, false); len(ids) != 1 {
			t.Errorf("%q is %d tokens, want one", word, len(ids))
		}
	}
	if a, b := tok.Encode("17", false), tok.Encode("1", false); len(a) != 2 || len(b) != 1 || a[0] != b[0] {
		t.Errorf("digits are not split: 17 is %v, 1 is %v", a, b)
	}
	for _, text := range []string{"17 + 6 = 23. Answer: 23", "An emoji 🙂 and ä, unseen.", "func f(x int) int {\n\treturn x\n}"} {
		if got := tok.Decode(tok.Encode(text, true), true); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
}

func TestChatTemplate(t *testing.T) {
	tmpl, err := chat.ForTokenizer(model(t))
	if err != nil {
		t.Fatal(err)
	}
	// The space that completions begin with is taken off, and the template's own put there.
	spans, err := tmpl.Render([]chat.Message{
		{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Where does Anna live?"}, {Role: "assistant", Content: " In Lakeside."},
	}, chat.RenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "<s>### System: Be brief.\n### Human: Where does Anna live?\n### Assistant: In Lakeside.</s>\n"
	if got := chat.Text(spans); got != want {
		t.Errorf("rendered %q, want %q", got, want)
	}
	trained := ""
	for _, s := range spans {
		if s.Train {
			trained += s.Text
		}
	}
	if trained != " In Lakeside.</s>" {
		t.Errorf("trained %q", trained)
	}
	spans, err = tmpl.Render([]chat.Message{{Role: "user", Content: "Hi"}}, chat.RenderOptions{AddGenerationPrompt: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := chat.Text(spans); got != "<s>### Human: Hi\n### Assistant:" {
		t.Errorf("generation prompt %q", got)
	}
	if _, err := tmpl.Render([]chat.Message{{Role: "tool", Content: "x"}}, chat.RenderOptions{}); err == nil {
		t.Error("an unknown role is rendered")
	}
}

// Every row of the data sets must fit the model whole, with the chat template.
func TestDataSetsFitTheModel(t *testing.T) {
	tok, err := token.Load(model(t))
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := chat.ForTokenizer(model(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]corpus.Kind{
		"reviews": corpus.KindCompletion, "chat": corpus.KindChat, "preferences": corpus.KindPreference,
		"math": corpus.KindReasoning, "steps": corpus.KindSteps, "code": corpus.KindCode,
	} {
		for _, part := range []string{"train", "validation"} {
			src, err := corpus.Resolve(filepath.Join(testkit.Root(), "datasets", name, part+".parquet"), corpus.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			rows := src.Rows(corpus.OpenOptions{})
			m, err := corpus.Recognise(rows, corpus.Want{})
			if err != nil {
				t.Errorf("%s %s: %v", name, part, err)
				continue
			}
			if m.Kind != kind {
				t.Errorf("%s %s is recognised as %s, want %s", name, part, m.Kind, kind)
			}
			for row, err := range rows {
				if err != nil {
					t.Fatal(err)
				}
				rec, err := corpus.Format(row, m)
				if err != nil {
					t.Fatal(err)
				}
				ex, err := corpus.EncodeRecord(tok, rec, tmpl, corpus.SpanOptions{Chat: true}, corpus.EncodeOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if len(ex.IDs) > FTTiny.Positions {
					t.Errorf("%s %s row %d has %d tokens, the model %d positions", name, part, row.Num, len(ex.IDs), FTTiny.Positions)
				}
			}
		}
	}
}
