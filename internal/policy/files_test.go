package policy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// source is one file of the repository.
type source struct {
	path string // below the top of the repository, with forward slashes
	text string
}

// files reads every file of the repository whose name ends in one of the
// extensions, outside of testdata, hidden folders and what runs leave behind.
func files(t *testing.T, extensions ...string) []source {
	t.Helper()
	root := testkit.Root()
	var out []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			name := d.Name()
			if rel != "." && rel != ".ci" && (strings.HasPrefix(name, ".") || name == "testdata" || name == "runs" || name == "__pycache__") {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.ContainsFunc(extensions, func(e string) bool { return path.Ext(rel) == e }) {
			return nil
		}
		data, err := os.ReadFile(p)
		out = append(out, source{rel, string(data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("no %v file found below %s", extensions, root)
	}
	return out
}

// goPackage is one folder of Go files.
type goPackage struct {
	path    string // "ftlib/corpus"
	files   map[string]*ast.File
	imports map[string]string // import path -> a file that has it; files that are not tests
}

// packages parses every Go file of the repository.
func packages(t *testing.T) map[string]*goPackage {
	t.Helper()
	out := map[string]*goPackage{}
	set := token.NewFileSet()
	for _, f := range files(t, ".go") {
		if strings.HasPrefix(f.text, "//go:build ignore\n") {
			continue // a program by itself, in no package
		}
		tree, err := parser.ParseFile(set, f.path, f.text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		dir := path.Dir(f.path)
		p := out[dir]
		if p == nil {
			p = &goPackage{path: dir, files: map[string]*ast.File{}, imports: map[string]string{}}
			out[dir] = p
		}
		p.files[f.path] = tree
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		for _, imp := range tree.Imports {
			p.imports[strings.Trim(imp.Path.Value, `"`)] = f.path
		}
	}
	return out
}
