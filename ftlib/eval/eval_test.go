package eval

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"ftlab/ftlib/corpus"
)

func TestFinalAnswer(t *testing.T) {
	for _, c := range []struct {
		text, want string
		ok         bool
	}{
		{"He has 3+4=7.\n#### 7", "7", true},
		{"#### 5\nno, wait\n#### 7\nDone", "7", true},
		{`so $\boxed{\frac{1}{2}}$.`, `\frac{1}{2}`, true},
		{`\boxed{1} or rather \boxed{x^{2}+1}`, `x^{2}+1`, true},
		{`never closed \boxed{1`, `never closed \boxed{1`, false},
		{"The answer is 42.", "42", true},
		{"Answer: B\n", "B", true},
		{"final answer = x\nThe answer is: y", "y", true},
		{" Paris ", "Paris", false},
		{"", "", false},
	} {
		if got, ok := FinalAnswer(c.text); got != c.want || ok != c.ok {
			t.Errorf("%q: %q %v, want %q %v", c.text, got, ok, c.want, c.ok)
		}
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"1,000", "1000", true}, {"$1000.00", "1000", true}, {"1/2", "0.5", true}, {`\frac{1}{2}`, "0.50", true}, {`\dfrac12`, "1/2", true},
		{"-3", "−3", true}, {"50%", "50", true}, {"7", "7.0001", false}, {"0.1", "0.10000000000000001", false}, {"1/0", "1/0", true},
		{"Paris", " paris. ", true}, {"new  york", "New York", true}, {"$x+1$", "x+1", true}, {"a", "b", false}, {"", "0", false},
		{"1e3", "1000", true}, {"0x10", "16", false}, {"18 dollars", "18", true},
	} {
		if got := Same(c.a, c.b); got != c.want {
			t.Errorf("Same(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

func TestRight(t *testing.T) {
	for _, c := range []struct {
		text, reference string
		want            bool
	}{
		{"3 and 4 make 7.\n#### 7", "3+4 = 7\n#### 7", true},
		{"It comes to 18 dollars, so 18.", "#### 18", true},
		{"The answer is 18 dollars.", "18", true},
		{"The answer is 18 of 20.", "18", false},
		{"first 18, then 20", "18", false},
		{"positive", "Positive", true},
		{"very positive", "positive", false},
		{"", "18", false},
	} {
		if got := Right(c.text, c.reference); got != c.want {
			t.Errorf("Right(%q, %q) = %v", c.text, c.reference, got)
		}
	}
}

func TestPerplexityIsOfAllTokensNotOfBatches(t *testing.T) {
	batches := []*corpus.Batch{{T: 1, Rows: []int{0}}, {T: 9, Rows: []int{1, 2}}}
	s, err := Perplexity(batches, func(b *corpus.Batch) (float64, float64, error) { return 2 * float64(b.T*b.T), float64(b.T), nil })
	if want := 2 * (1.0 + 81) / 10; err != nil || s.Loss != want || s.Perplexity != math.Exp(want) || s.Rows != 3 || s.Tokens != 10 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Perplexity(nil, nil); err == nil || !strings.Contains(err.Error(), "no token is scored") {
		t.Error(err)
	}
}

func TestExactMatch(t *testing.T) {
	questions := []Question{{Prompt: "1", Answer: "2"}, {Prompt: "2", Answer: "3"}, {Prompt: "3", Answer: "5"}}
	var sizes []int
	m, err := ExactMatch(context.Background(), questions, 2, func(_ context.Context, group []Question) ([]string, error) {
		sizes = append(sizes, len(group))
		var out []string
		for _, q := range group {
			out = append(out, map[string]string{"1": "it is 2", "2": "3", "3": "4"}[q.Prompt])
		}
		return out, nil
	})
	if err != nil || m.Right != 2 || m.Rows != 3 || m.Accuracy != 2.0/3 || len(sizes) != 2 || sizes[1] != 1 || m.Answers[2].Right {
		t.Errorf("%+v, %v, %v", m, sizes, err)
	}
	broken := errors.New("no memory")
	m, err = ExactMatch(context.Background(), questions, 1, func(_ context.Context, group []Question) ([]string, error) {
		if group[0].Prompt == "2" {
			return nil, broken
		}
		return []string{"2"}, nil
	})
	if !errors.Is(err, broken) || m.Rows != 1 || m.Right != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}
