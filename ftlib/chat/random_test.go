package chat

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// For random conversations, odd ones too: the spans joined are the plain rendering,
// and without a generation prompt or with one, what is trained is the assistant's.
func TestSpansOfRandomConversations(t *testing.T) {
	var all []*Template
	for _, name := range Builtins() {
		tmpl, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tmpl)
	}
	all = append(all, ownTemplates(t)...)
	for n, tmpl := range all {
		rng := rand.New(rand.NewPCG(11, uint64(n)))
		texts := 0
		for i := range 300 {
			msgs := conversation(rng)
			o := RenderOptions{AddGenerationPrompt: i%2 == 0, Now: now(t)}
			if i%5 == 0 {
				o.Tools = someTools()
			}
			plain, err1 := tmpl.Text(msgs, o)
			spans, err2 := tmpl.Render(msgs, o)
			if (err1 == nil) != (err2 == nil) || err1 != nil && err1.Error() != err2.Error() {
				t.Fatalf("%s: Text %v, Render %v", tmpl.Name(), err1, err2)
			}
			if err1 != nil {
				continue
			}
			texts++
			if Text(spans) != plain {
				t.Fatalf("%s: spans give %q, plain is %q", tmpl.Name(), Text(spans), plain)
			}
			trained := ""
			for _, s := range spans {
				if s.Text == "" {
					t.Errorf("%s: an empty span in %q", tmpl.Name(), plain)
				}
				if !s.Train {
					continue
				}
				trained += s.Text
				if s.Role != "assistant" {
					t.Errorf("%s: %q of %q is trained", tmpl.Name(), s.Text, s.Role)
				}
			}
			// The words of an answer are in there as far as the template writes them.
			for _, m := range msgs {
				if w := strings.Fields(m.Content); m.Role == "assistant" && m.Extra == nil && len(w) == 1 && strings.Contains(plain, m.Content) && !strings.Contains(trained, w[0]) && !isChanged(tmpl) {
					t.Errorf("%s: the answer %q is not trained in %q", tmpl.Name(), m.Content, plain)
				}
			}
		}
		if texts < 20 {
			t.Errorf("%s rendered only %d conversations", tmpl.Name(), texts)
		}
	}
}

// isChanged names the templates below testdata that change or drop parts of answers.
func isChanged(t *Template) bool {
	return strings.HasPrefix(t.Name(), "dated") || strings.HasPrefix(t.Name(), "reverse")
}
