package corpus

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// Rendering and encoding random conversations with real tokenizers gives the ids of
// transformers' apply_chat_template, and where the template has {% generation %} its
// assistant masks: the tokens that TRL trains with assistant_only_loss.
func TestEncodeLive(t *testing.T) {
	python := os.Getenv("FTLAB_PYTHON")
	if python == "" {
		t.Skip("SKIPPED: set FTLAB_PYTHON to a Python that has transformers to compare with it live")
	}
	type job struct {
		Tokenizer string         `json:"tokenizer"`
		Source    *string        `json:"source"`
		Messages  []chat.Message `json:"messages"`
	}
	words := []string{"hello", " 2+3?", "日本語", " été", "👍🏽", " </s>", "\n", "\n\n", "  ", "\"q\"", "it's", " the", " answer", "...", "<b>", "12", " x"}
	rng := rand.New(rand.NewPCG(6, 6))
	text := func() string {
		var b strings.Builder
		for range rng.IntN(12) {
			b.WriteString(words[rng.IntN(len(words))])
		}
		return b.String()
	}
	type pair struct {
		tok  *token.Tokenizer
		tmpl *chat.Template
	}
	var jobs []job
	var of []pair
	for dir, template := range map[string]string{"tinyllama": "", "qwen2.5": "chat_templates/qwen2_5_training.jinja", "phi-2": "chat_templates/phi3_training.jinja"} {
		dir := testkit.SharedData(t, "tokenizers/"+dir)
		tok, err := token.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if template != "" {
			template = testkit.SharedData(t, template)
		}
		tmpl, err := chat.Find(template, dir)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			j := job{Tokenizer: dir}
			if template != "" {
				src := tmpl.Source()
				j.Source = &src
			}
			for i := range 1 + rng.IntN(5) {
				j.Messages = append(j.Messages, chat.Message{Role: []string{"user", "assistant"}[i%2], Content: text()})
			}
			jobs, of = append(jobs, j), append(of, pair{tok, tmpl})
		}
	}
	in, err := json.Marshal(map[string]any{"now": "2026-11-23T12:30:00", "encodings": jobs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join(testkit.Root(), "scripts", "golden", "chat_templates.py"))
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("FTLAB_PYTHON: %v", err)
	}
	var res struct {
		Encodings []struct {
			IDs   []int32
			Mask  []int
			Error string
		}
	}
	if err := json.Unmarshal(out, &res); err != nil {
		t.Fatal(err)
	}
	bad, trained := 0, 0
	for i, want := range res.Encodings {
		if want.Error != "" {
			t.Fatalf("transformers: %s", want.Error)
		}
		spans, err := of[i].tmpl.Render(jobs[i].Messages, chat.RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ex, _, _ := encode(of[i].tok, spans, EncodeOptions{Rendered: true})
		if !slices.Equal(ex.IDs, want.IDs) {
			t.Errorf("%s: %q\n got %v\nwant %v", of[i].tmpl.Name(), chat.Text(spans), ex.IDs, want.IDs)
			bad++
		}
		for k := range want.Mask {
			if of[i].tmpl.HasGeneration() && (want.Mask[k] == 1) != ex.Train[k] {
				s, _ := of[i].tok.Token(ex.IDs[k])
				t.Errorf("%s: %q: token %d %q: trained %v, transformers says %d", of[i].tmpl.Name(), chat.Text(spans), k, s, ex.Train[k], want.Mask[k])
				bad++
				break
			}
			trained += want.Mask[k]
		}
		if bad > 5 {
			return
		}
	}
	if trained == 0 {
		t.Error("no mask was compared")
	}
}
