package notebook

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/chart"
)

// Outside of a notebook charts are files where somebody asks for them: each its own, and
// one that is replaced keeps its place.
func TestPages(t *testing.T) {
	var said bytes.Buffer
	out = &said
	t.Cleanup(func() { out = nil })
	figure := func(title string) chart.Figure {
		return chart.Bars(title, chart.Axis{Name: "x"}, []string{"a"}, chart.Group{Name: "g", Values: []float64{1}})
	}
	Show(figure("nobody asks"))
	if strings.Contains(said.String(), "written") {
		t.Errorf("%q", said.String())
	}
	prefix := filepath.Join(t.TempDir(), "script")
	t.Setenv(PagesEnv, prefix)
	pages.n = 0
	Show(figure("one"))
	showFigure(figure("two, not yet"), "id")
	showFigure(figure("two"), "id")
	Show(figure("three"))
	for path, title := range map[string]string{"-1.html": "one", "-2.html": "two", "-3.html": "three"} {
		page, err := os.ReadFile(prefix + path)
		if err != nil || !strings.Contains(string(page), "<title>"+title+"<") {
			t.Errorf("%s: %v, no title %q", path, err, title)
		}
	}
	if n := strings.Count(said.String(), "chart written to "); n != 3 {
		t.Errorf("said %d times where: %q", n, said.String())
	}
}
