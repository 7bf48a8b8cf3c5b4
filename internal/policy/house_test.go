package policy

import (
	"bytes"
	"encoding/json"
	"go/format"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

const maxLines = 500

func TestFilesAreSmall(t *testing.T) {
	for _, f := range files(t, ".go", ".py", ".sh", "") {
		if n := strings.Count(f.text, "\n"); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: split it by noun", f.path, n, maxLines)
		}
	}
}

func TestFormatted(t *testing.T) {
	for _, f := range files(t, ".go") {
		want, err := format.Source([]byte(f.text))
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
		} else if !bytes.Equal(want, []byte(f.text)) {
			t.Errorf("%s is not formatted: gofmt -w %s", f.path, f.path)
		}
	}
}

// Every package has one package comment, long enough to teach it.
func TestPackageComments(t *testing.T) {
	for dir, p := range packages(t) {
		var in []string
		var text string
		for file, tree := range p.files {
			if tree.Doc != nil && !strings.HasSuffix(file, "_test.go") {
				in = append(in, file)
				text = tree.Doc.Text()
			}
		}
		switch {
		case len(in) == 0 && onlyTests(p):
		case len(in) != 1:
			t.Errorf("%s has %d package comments %q, want one", dir, len(in), in)
		case len(text) < 100:
			t.Errorf("%s: the package comment says too little: %q", in[0], text)
		}
	}
}

func onlyTests(p *goPackage) bool {
	for file := range p.files {
		if !strings.HasSuffix(file, "_test.go") {
			return false
		}
	}
	return true
}

// The words are put together here so that this file does not contain them.
var unfinished = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}, "|") + `)\b|panic\("(not implemented|unimplemented|todo)`)

func TestNothingUnfinished(t *testing.T) {
	for _, f := range files(t, ".go", ".py", ".sh", ".md", "") {
		if m := unfinished.FindStringIndex(f.text); m != nil {
			t.Errorf("%s:%d: %q: finish it or leave it out", f.path, line(f.text, m[0]), f.text[m[0]:m[1]])
		}
	}
}

// Folders that exist on one machine only.
var machinePath = regexp.MustCompile(`(^|[\s"'` + "`" + `=(:])/(home|root|tmp|work|Users|mnt)/[A-Za-z0-9_.]`)

func TestNoPathsOfAMachine(t *testing.T) {
	for _, f := range texts(t) {
		if m := machinePath.FindStringIndex(f.text); m != nil {
			t.Errorf("%s:%d: the path %q exists on one machine only", f.path, line(f.text, m[0]), strings.TrimSpace(f.text[m[0]:m[1]]))
		}
	}
}

// hosts are the only ones that may be named: papers, documentation, name spaces of
// file formats. The project talks to none of them unless a person names a model or
// a data set that is not here.
var hosts = []string{
	"arxiv.org", "docs.python.org", "github.com", "go.dev", "huggingface.co", "jupyter-client.readthedocs.io",
	"no-color.org", "pkg.go.dev", "www.w3.org", "localhost", "127.0.0.1", "example.com",
}

var link = regexp.MustCompile(`https?://[^\s"'<>)\]}` + "`" + `\\]+`)

func TestHosts(t *testing.T) {
	for _, f := range texts(t) {
		if base := path.Base(f.path); base == "LICENSE" || base == "NOTICE" {
			continue // other people's words
		}
		for _, m := range link.FindAllStringIndex(f.text, -1) {
			u, err := url.Parse(f.text[m[0]:m[1]])
			if err != nil || strings.ContainsAny(u.Host, "%$") {
				continue // put together at run time
			}
			if !slices.Contains(hosts, u.Hostname()) && !strings.HasSuffix(u.Hostname(), ".example") {
				t.Errorf("%s:%d: names the host %q", f.path, line(f.text, m[0]), u.Hostname())
			}
		}
	}
}

// texts are all files that people write, and the notebooks' cells.
func texts(t *testing.T) []source {
	all := files(t, ".go", ".py", ".sh", ".md", ".yaml", ".yml", ".txt", ".in", ".json", ".mod", ".conf", "")
	for _, f := range files(t, ".ipynb") {
		var notebook struct {
			Cells []struct {
				Source any `json:"source"`
			} `json:"cells"`
		}
		if err := json.Unmarshal([]byte(f.text), &notebook); err != nil {
			t.Errorf("%s: %v", f.path, err)
			continue
		}
		var text strings.Builder
		for _, c := range notebook.Cells {
			switch s := c.Source.(type) {
			case string:
				text.WriteString(s)
			case []any:
				for _, part := range s {
					if part, ok := part.(string); ok {
						text.WriteString(part)
					}
				}
			}
			text.WriteByte('\n')
		}
		all = append(all, source{f.path, text.String()})
	}
	return all
}

func line(text string, offset int) int { return strings.Count(text[:offset+1], "\n") + 1 }

func TestNoReplaceLines(t *testing.T) {
	for _, f := range files(t, ".mod") {
		for i, l := range strings.Split(f.text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(l), "replace ") || strings.HasPrefix(strings.TrimSpace(l), "replace(") {
				t.Errorf("%s:%d: a replace line: %s", f.path, i+1, l)
			}
		}
	}
}

func TestReadmeListsEveryPackage(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(testkit.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	all := packages(t)
	for dir := range all {
		if !regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(dir) + `/\s+\S`).MatchString(readme) {
			t.Errorf("README.md: no line in the tree for %s/", dir)
		}
	}
	// And none that is not there.
	for _, m := range regexp.MustCompile(`(?m)^\s+((?:ftlib|kernel|cmd|internal|docs|scripts|notebooks|datasets|models|testdata)/?[\w./-]*)\s{2,}\S`).FindAllStringSubmatch(readme, -1) {
		if _, err := os.Stat(filepath.Join(testkit.Root(), m[1])); err != nil {
			t.Errorf("README.md: the tree lists %s, which does not exist", m[1])
		}
	}
}
