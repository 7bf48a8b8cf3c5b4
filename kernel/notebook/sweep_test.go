package notebook

import (
	"strings"
	"testing"

	"ftlab/ftlib/sweep"
)

func TestSweepTable(t *testing.T) {
	s, err := sweep.Decode([]byte("run: {model: {path: m}, data: {train: r.jsonl}}\nover: {seed: {min: 1, max: 60, whole: true, steps: 60}}"), "s.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	s.Out = t.TempDir()
	results, err := s.Results()
	if err != nil {
		t.Fatal(err)
	}
	v := 0.5
	results[0].Value = &v
	got := sweepTable(s, results)
	if len(got.rows) != maxRows || got.more != 10 || strings.Join(got.rows[0], " ") != "001 1 0.5 0 " || got.rows[1][2] != "–" {
		t.Errorf("%d rows, %d more: %q", len(got.rows), got.more, got.rows[:2])
	}
}
