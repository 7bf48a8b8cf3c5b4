package notebook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/tune"
)

func p(v float64) *float64 { return &v }

func TestStepsHeatMap(t *testing.T) {
	v := StepView{{Problem: "What is <2 + 2> + 3?", Answer: "7", Steps: []tune.StepMark{
		{Text: "2 + 2 = 4", Score: p(0.95), Label: p(1)}, {Text: "4 + 3 = 8", Score: p(0.1), Label: p(0)}, {Text: "Answer: 8", Score: p(0.8), Label: p(0)}, {Text: "unknown"}}}}
	page, err := v.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"&lt;2 + 2&gt;", shade(0.95), shade(0.1), "≠ 0.80", "right with 10 %, labelled 0", "expected: 7"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "≠ 0.95") || strings.Contains(page, "://") {
		t.Errorf("%s", page)
	}
	want := "What is <2 + 2> + 3?\n    0.95 ██████████ 2 + 2 = 4\n  ! 0.10 █········· 4 + 3 = 8\n  ≠ 0.80 ████████·· Answer: 8\n         ·········· unknown\n  expected: 7\n"
	if got := v.Text(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestBestOfTable(t *testing.T) {
	r := tune.BestOfResult{N: []int{1, 8}, Ways: []tune.Chosen{{By: "prm min", Accuracy: []float64{0.25, 0.5}}}}
	if got := BestOfText(r); got != "chosen by   N = 1   N = 8\nprm min    25.0 %  50.0 %\n" {
		t.Errorf("%q", got)
	}
	if f := BestOfFigure(r); len(f.Series) != 1 || f.Series[0].X[1] != 8 {
		t.Errorf("%+v", f)
	}
}

// The rounds of a run are counted by problem, not by rationale, and filtered without a script.
func TestRationales(t *testing.T) {
	dir := t.TempDir()
	rounds := [][][3]string{ // question, text, source
		{{"a", "right a", "kept"}, {"a", "also right a", "kept"}, {"b", "told b", "rationalised"}, {"c", "wrong c", "rejected"}, {"d", "as the hint says", "leaked"}},
		{{"a", "right a", "kept"}, {"b", "right b", "kept"}, {"c", "told <c>", "rationalised"}, {"d", "wrong d", "rejected"}},
	}
	for i, list := range rounds {
		err := corpus.WriteRows(filepath.Join(dir, "rounds", []string{"round-1.parquet", "round-2.parquet"}[i]), func(yield func(corpus.Row, error) bool) {
			for k, x := range list {
				yield(corpus.Row{Num: k + 1, Columns: []string{"question", "rationale", "answer", "source", "round", "row"},
					Values: map[string]any{"question": x[0], "rationale": x[1], "answer": "7", "source": x[2], "round": int64(i + 1), "row": int64(x[0][0])}}, nil)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	v, err := ReadRationales(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := v.Figure()
	if alone, told := f.Series[0].Y, f.Series[1].Y; alone[0] != 0.25 || told[0] != 0.5 || alone[1] != 0.5 || told[1] != 0.75 {
		t.Errorf("%v, %v", alone, told)
	}
	page, err := v.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kept (4)", "rationalised (2)", "rejected (2)", "leaked (1)", "told &lt;c&gt;", ".r-r2:checked) .x:not(.is-r2)", ".s-kept:checked) .x:not(.is-kept)", "1 of 4 solved alone, 1 more with the hint"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "://") {
		t.Error("the page needs a script or a network")
	}
	text := v.Text()
	for _, want := range []string{"    1         4  25.0 %     50.0 %     2             1         1       1\n", "rationalised: it was told", "told <c>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "rounds")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRationales(dir); err == nil || !strings.Contains(err.Error(), "method: star") {
		t.Errorf("%v", err)
	}
}
