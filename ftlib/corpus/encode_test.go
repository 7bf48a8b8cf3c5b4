package corpus

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/token"
)

// wordTok is a tokenizer small enough to check by eye: a special token, a word with the
// spaces before it, or spaces alone, is a token. Ids are given as words are met.
type wordTok struct {
	names []string
	ids   map[string]int32
	bos   bool // added by the tokenizer
	eos   bool
}

const (
	idBOS = int32(0)
	idEOS = int32(1)
	idEnd = int32(2)
)

func newWordTok() *wordTok {
	w := &wordTok{ids: map[string]int32{}}
	for _, s := range []string{"<s>", "</s>", "<|im_end|>"} {
		w.id(s)
	}
	return w
}

func (w *wordTok) id(s string) int32 {
	if id, ok := w.ids[s]; ok {
		return id
	}
	w.ids[s] = int32(len(w.names))
	w.names = append(w.names, s)
	return w.ids[s]
}

func (w *wordTok) Encode(text string, special bool) []int32 {
	ids, _ := w.EncodeOffsets(text, special)
	return ids
}

func (w *wordTok) EncodeOffsets(text string, special bool) ([]int32, [][2]int) {
	var ids []int32
	var offs [][2]int
	if special && w.bos {
		ids, offs = append(ids, idBOS), append(offs, [2]int{-1, -1})
	}
	for at := 0; at < len(text); {
		end := at
		for _, s := range w.names[:3] {
			if strings.HasPrefix(text[at:], s) {
				end = at + len(s)
			}
		}
		if end == at {
			for end < len(text) && unicode.IsSpace(rune(text[end])) {
				end++
			}
			for end < len(text) && !unicode.IsSpace(rune(text[end])) && text[end] != '<' {
				end++
			}
			if end == at {
				end++
			}
		}
		ids, offs = append(ids, w.id(text[at:end])), append(offs, [2]int{at, end})
		at = end
	}
	if special && w.eos {
		ids, offs = append(ids, idEOS), append(offs, [2]int{-1, -1})
	}
	return ids, offs
}

func (w *wordTok) Special() token.Special {
	return token.Special{BOS: idBOS, EOS: idEOS, PAD: -1, UNK: -1}
}
func (w *wordTok) IsSpecial(id int32) bool       { return id < 3 }
func (w *wordTok) AddsBOS() bool                 { return w.bos }
func (w *wordTok) Token(id int32) (string, bool) { return w.names[id], true }

// shown is an example as text, trained tokens in brackets.
func shown(w *wordTok, ex Example) string {
	var b strings.Builder
	for i, id := range ex.IDs {
		if ex.Train[i] {
			b.WriteString("[" + w.names[id] + "]")
		} else {
			b.WriteString(w.names[id])
		}
	}
	return b.String()
}

func TestEncodeMarksTokens(t *testing.T) {
	for name, c := range map[string]struct {
		spans    []chat.Span
		bos      bool
		rendered bool
		want     string
	}{
		"plain":                    {[]chat.Span{{Text: "a b", Train: true}, {Text: "</s>", Train: true}}, false, false, "[a][ b][</s>]"},
		"bos is not trained":       {[]chat.Span{{Text: "a</s>", Train: true}}, true, false, "<s>[a][</s>]"},
		"no second bos":            {[]chat.Span{{Text: "<s>a"}, {Text: " b</s>", Train: true}}, true, false, "<s>a[ b][</s>]"},
		"none for a template":      {[]chat.Span{{Text: "a"}, {Text: " b</s>", Train: true}}, true, true, "a[ b][</s>]"},
		"a space of the prompt":    {[]chat.Span{{Text: "a "}, {Text: "b</s>", Train: true}}, false, false, "a[ b][</s>]"},
		"a space of the answer":    {[]chat.Span{{Text: "a", Train: false}, {Text: "</s> ", Train: true}, {Text: "b"}}, false, false, "a[</s>] b"},
		"part of a word":           {[]chat.Span{{Text: "ab"}, {Text: "cd</s>", Train: true}}, false, false, "[abcd][</s>]"},
		"empty spans":              {[]chat.Span{{}, {Text: "a"}, {}, {Text: " b</s>", Train: true}, {}}, false, false, "a[ b][</s>]"},
		"two turns, newline after": {[]chat.Span{{Text: "q"}, {Text: " a<|im_end|>", Train: true}, {Text: "\nq"}, {Text: " b<|im_end|>\n", Train: true}}, false, true, "q[ a][<|im_end|>]\nq[ b][<|im_end|>][\n]"},
	} {
		w := newWordTok()
		w.bos = c.bos
		ex, err := Encode(w, c.spans, EncodeOptions{Rendered: c.rendered})
		if got := shown(w, ex); err != nil || got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, c.want)
		}
	}
}

func TestEncodeEndTokenOfTheTokenizer(t *testing.T) {
	w := newWordTok()
	w.eos = true
	for text, want := range map[string]string{"a</s>": "[a][</s>]", "a": "[a][</s>]"} {
		ex, err := Encode(w, []chat.Span{{Text: text, Train: true}}, EncodeOptions{})
		if got := shown(w, ex); err != nil || got != want {
			t.Errorf("%q: %s (%v), want %s", text, got, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	answer := func(s string) []chat.Span { return []chat.Span{{Text: "q q q"}, {Text: s, Train: true}} }
	for name, c := range map[string]struct {
		spans []chat.Span
		o     EncodeOptions
		want  RefusalReason
	}{
		"fine":                {answer(" a</s>"), EncodeOptions{}, ""},
		"nothing trained":     {[]chat.Span{{Text: "q a</s>"}}, EncodeOptions{}, NothingTrained},
		"only the first":      {[]chat.Span{{Text: "</s>", Train: true}, {Text: "q"}}, EncodeOptions{}, NothingTrained},
		"empty":               {nil, EncodeOptions{}, NothingTrained},
		"double bos":          {[]chat.Span{{Text: "<s><s>q"}, {Text: " a</s>", Train: true}}, EncodeOptions{}, DoubleBOS},
		"no end":              {answer(" a"), EncodeOptions{}, MissingEOS},
		"no end in the first": {append(answer(" a"), answer(" a</s>")...), EncodeOptions{}, MissingEOS},
		"no end wanted":       {answer(" a"), EncodeOptions{Unended: true}, ""},
		"split end token":     {answer(" a<|eot|>"), EncodeOptions{}, MissingEOS},
		"all labels cut":      {answer(" a</s>"), EncodeOptions{MaxLength: 3}, LabelsCut},
		"some labels cut":     {answer(" a b</s>"), EncodeOptions{MaxLength: 4}, ""},
	} {
		c.o.File, c.o.Num = "data.jsonl", 7
		ex, err := Encode(newWordTok(), c.spans, c.o)
		var r *Refusal
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.As(err, &r) || r.Reason != c.want || !strings.Contains(err.Error(), "data.jsonl row 7") || r.Hint == "" {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if ex.File != "data.jsonl" || ex.Num != 7 {
			t.Errorf("%s: example of %s row %d", name, ex.File, ex.Num)
		}
	}
}

// Random spans: the ids are those of the joined text, a trained token touches a trained
// span, and every character of a trained span that is no white space is trained.
func TestEncodeProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "bc", " ", "  d", "\n", "</s>", "<|im_end|>", "ef gh", "", "<"}
	for range 500 {
		var spans []chat.Span
		for range rng.IntN(6) + 1 {
			s := chat.Span{Train: rng.IntN(2) == 0}
			for range rng.IntN(4) {
				s.Text += pieces[rng.IntN(len(pieces))]
			}
			spans = append(spans, s)
		}
		w := newWordTok()
		ex, text, offs := encode(w, spans, EncodeOptions{Rendered: true})
		if !slices.Equal(ex.IDs, w.Encode(text, false)) || text != chat.Text(spans) {
			t.Fatalf("%v: ids differ from those of the joined text", spans)
		}
		on := make([]bool, 0, len(text))
		for _, s := range spans {
			for range len(s.Text) {
				on = append(on, s.Train)
			}
		}
		for i, r := range offs {
			touched, solid := false, false
			for k := r[0]; k < r[1]; k++ {
				touched = touched || on[k]
				solid = solid || on[k] && !unicode.IsSpace(rune(text[k]))
			}
			if ex.Train[i] && !touched || solid && !ex.Train[i] {
				t.Fatalf("%v: token %d (%q): trained %v", spans, i, text[r[0]:r[1]], ex.Train[i])
			}
		}
	}
}

func TestTokens(t *testing.T) {
	w := newWordTok()
	w.bos = true
	views, err := ViewSpans(w, []chat.Span{{Text: "q", Role: "user"}, {}, {Text: " a b", Role: "assistant", Train: true}, {Text: "</s>", Train: true}}, EncodeOptions{MaxLength: 3})
	if err != nil {
		t.Fatal(err)
	}
	want := []TokenView{{"<s>", TokenContext, idBOS, ""}, {"q", TokenContext, w.id("q"), "user"}, {" a", TokenTrained, w.id(" a"), "assistant"},
		{" b", TokenCut, w.id(" b"), "assistant"}, {"</s>", TokenCut, idEOS, ""}}
	if !slices.Equal(views, want) {
		t.Errorf("views %v, want %v", views, want)
	}
	if got, want := Terminal(views, false), "<s>·q【 a】✂ b·</s>✂"; got != want {
		t.Errorf("without color %q, want %q", got, want)
	}
	if got := Terminal(views, true); !strings.Contains(got, ansi[TokenTrained][0]+" a"+ansiReset) || !strings.Contains(got, ansi[TokenCut][0]+"</s>"+ansiReset) {
		t.Errorf("with color %q", got)
	}
}

func TestAudit(t *testing.T) {
	var a Audit
	if err := a.Err(Limits{}); err == nil {
		t.Error("no rows, no error")
	}
	good := Example{IDs: []int32{3, 4, 1}, Train: []bool{false, true, true}}
	cut := good
	cut.Cut = 5
	for range 9 {
		if !a.Add(good, nil) {
			t.Fatal("a good row was left out")
		}
	}
	a.Add(cut, nil)
	if err := a.Err(Limits{}); err != nil {
		t.Errorf("10 %% cut: %v", err)
	}
	a.Add(cut, nil)
	var r *Refusal
	if err := a.Err(Limits{}); !errors.As(err, &r) || r.Reason != TooManyCut {
		t.Errorf("18 %% cut: %v", err)
	}
	if err := a.Err(Limits{MaxCut: 0.2}); err != nil {
		t.Errorf("18 %% cut of 20 %%: %v", err)
	}
	if a.Add(Example{}, &Refusal{"f", 3, NothingTrained, "d", "h"}) {
		t.Error("a refused row was kept")
	}
	if err := a.Err(Limits{MaxCut: -1}); !errors.As(err, &r) || r.Num != 3 || !strings.Contains(err.Error(), "1 row: nothing trained") {
		t.Errorf("refused row: %v", err)
	}
	if err := a.Err(Limits{Insist: true}); err != nil {
		t.Errorf("insisted: %v", err)
	}
	for range 12 {
		a.Add(Example{}, errors.New("unreadable"))
	}
	if a.OtherRows != 12 || len(a.Other) != 10 || !strings.Contains(a.String(), "12 rows: cannot be read, or fit no record") {
		t.Errorf("other errors: %d, %s", a.OtherRows, a.String())
	}
	if a.Rows != 24 || a.Kept != 11 || a.Trained != 22 || a.Tokens != 33 || a.Cut != 2 || a.CutTokens != 10 {
		t.Errorf("counts %+v", a)
	}
}
