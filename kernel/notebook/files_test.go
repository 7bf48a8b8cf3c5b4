package notebook

import (
	"encoding/json"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cellFile is what matters here of a notebook's format (nbformat 4.5).
type cellFile struct {
	Format   int `json:"nbformat"`
	Minor    int `json:"nbformat_minor"`
	Metadata struct {
		Kernel struct {
			Name string `json:"name"`
		} `json:"kernelspec"`
	} `json:"metadata"`
	Cells []struct {
		ID     string          `json:"id"`
		Type   string          `json:"cell_type"`
		Source json.RawMessage `json:"source"` // a string or a list of lines
	} `json:"cells"`
}

// The course's notebooks are kept as code is: they name the kernel, begin with a
// title, have short cells, and Go that is formatted.
func TestNotebooksAreWellKept(t *testing.T) {
	files, err := filepath.Glob("../../notebooks/*.ipynb")
	if err != nil || len(files) == 0 {
		t.Fatalf("no notebooks: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var nb cellFile
			if err := json.Unmarshal(data, &nb); err != nil {
				t.Fatal(err)
			}
			if nb.Format != 4 || nb.Minor < 5 || nb.Metadata.Kernel.Name != "ftlab" {
				t.Errorf("format %d.%d for kernel %q, want 4.5 for ftlab", nb.Format, nb.Minor, nb.Metadata.Kernel.Name)
			}
			seen := map[string]bool{}
			for i, c := range nb.Cells {
				source := text(t, c.Source)
				if seen[c.ID] || c.ID == "" {
					t.Errorf("cell %d: id %q is empty or there twice", i, c.ID)
				}
				seen[c.ID] = true
				if i == 0 && (c.Type != "markdown" || !strings.HasPrefix(source, "# ")) {
					t.Error("the first cell is no title")
				}
				if c.Type == "code" {
					checkCode(t, c.ID, source)
				}
			}
		})
	}
}

func text(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one
	}
	var lines []string
	if err := json.Unmarshal(raw, &lines); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "")
}

func checkCode(t *testing.T, id, source string) {
	t.Helper()
	if n := strings.Count(source, "\n") + 1; n > 30 {
		t.Errorf("cell %s has %d lines: split it, or move what is not to be learnt into a package", id, n)
	}
	code, main := source, false
	if rest, ok := strings.CutPrefix(source, "%%\n"); ok {
		code, main = rest, true
	}
	if strings.HasPrefix(code, "!") || strings.HasPrefix(code, "%") {
		return // a command, not Go
	}
	full := "package main\n\n" + code + "\n"
	if main {
		full = "package main\n\nfunc main() {\n\t" + strings.ReplaceAll(code, "\n", "\n\t") + "\n}\n"
		full = strings.ReplaceAll(full, "\n\t\n", "\n\n")
	}
	got, err := format.Source([]byte(full))
	if err != nil {
		t.Errorf("cell %s: %v", id, err)
	} else if string(got) != full {
		t.Errorf("cell %s is not formatted; gofmt makes of it:\n%s", id, got)
	}
}
