package course

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

func TestParse(t *testing.T) {
	cells, err := Parse("# T\n\ntext\n\n```yaml\na: 1\n```\n\n```go parameters\nvar a = 1\n```\n## Two\n```go\n%%\nmine := 0\n\ncheck(mine)\n```\n```go solution\nmine := 6\n```\nend\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Cell{
		{Source: "# T\n\ntext\n\n```yaml\na: 1\n```"},
		{Code: true, Source: "var a = 1", Parameters: true},
		{Source: "## Two"},
		{Code: true, Source: "%%\nmine := 0\n\ncheck(mine)", Solution: "mine := 6"},
		{Source: "end"},
	}
	if !slices.Equal(cells, want) {
		t.Errorf("got %+v", cells)
	}
	for _, bad := range []string{"```go\nx", "```go solution\nx\n```", "```go\nx\n```\n```go solution\nx\n```", "```go other\nx\n```"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// A change of a cell makes outputs go, a change of text does not.
func TestBuildKeepsOutputs(t *testing.T) {
	const source = "a\n\n```go\nx\n```\n"
	cells, _ := Parse(source)
	n := Build(cells, Notebook{})
	if err := Stale(source, n); err == nil {
		t.Error("a notebook that was not executed passes")
	}
	n.Metadata.FTLab = &Executed{Hash: Hash(cells), Profile: "classroom"}
	n.Cells[1].Outputs = []json.RawMessage{json.RawMessage(`{"output_type":"stream"}`)}
	if err := Stale(source, n); err != nil {
		t.Error(err)
	}
	same, _ := Parse(strings.Replace(source, "a\n", "b\n", 1))
	if m := Build(same, n); len(m.Cells[1].Outputs) != 1 || m.Metadata.FTLab == nil {
		t.Error("another text takes the outputs along")
	}
	other := strings.Replace(source, "x", "y", 1)
	changed, _ := Parse(other)
	m := Build(changed, n)
	if len(m.Cells[1].Outputs) != 0 || m.Metadata.FTLab != nil {
		t.Error("outputs of another cell stay")
	}
	n.Cells[1].Source = "y"
	if err := Stale(other, n); err == nil {
		t.Error("outputs of another cell pass")
	}
}

// What a notebook links to is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)
	pages, _ := filepath.Glob(filepath.Join(testkit.Root(), "notebooks", "source", "*.md"))
	for _, page := range append(pages, filepath.Join(testkit.Root(), "docs", "learning_path.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		dir := strings.TrimSuffix(filepath.Dir(page), "source") // a source is seen from its notebook
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(m[1], "http") || strings.ContainsAny(m[1], " {\"") {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
				t.Errorf("%s: no %s", filepath.Base(page), m[1])
			}
		}
	}
}

// Every notebook is what its source says, and its outputs are of its cells, small, and of no
// particular machine.
func TestNotebooksAreInStep(t *testing.T) {
	dir := filepath.Join(testkit.Root(), "notebooks")
	sources, _ := filepath.Glob(filepath.Join(dir, "source", "*.md"))
	notebooks, _ := filepath.Glob(filepath.Join(dir, "*.ipynb"))
	if len(sources) == 0 || len(sources) != len(notebooks) {
		t.Fatalf("%d sources, %d notebooks", len(sources), len(notebooks))
	}
	host, _ := os.Hostname()
	private := regexp.MustCompile(`(?:^|[\s"'(=])/(?:home|root|tmp|work|Users)/`)
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".md")
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name+".ipynb")
		n, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Stale(string(text), n); err != nil {
			t.Errorf("%s.ipynb: %v", name, err)
		}
		if info, err := os.Stat(path); err == nil && info.Size() > 300_000 {
			t.Errorf("%s.ipynb has %d bytes: outputs are to be small", name, info.Size())
		}
		for i, c := range n.Cells {
			for _, raw := range c.Outputs {
				out := string(raw)
				if m := private.FindString(out); m != "" || len(host) > 4 && strings.Contains(out, host) {
					t.Errorf("%s.ipynb, cell %d: the output names a place on a machine (%q)", name, i+1, m)
				}
				if strings.Contains(out, `"output_type": "error"`) || strings.Contains(out, "widget-view") {
					t.Errorf("%s.ipynb, cell %d: an output is an error, or a widget that nobody will see", name, i+1)
				}
			}
		}
	}
}
