package jupyter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"sync"
)

// declaration is one that later cells have: an import, a type, a function, a variable or
// constant, with what is needed to write it again.
type declaration struct {
	keys []string // of all that it declares; a later declaration of one of them replaces it
	text string
	kind token.Token
}

// ledger holds the declarations of a session as gonb does, so that they can be given to
// a gonb that was started again, and to gopls.
type ledger struct {
	mu   sync.Mutex
	list []declaration
}

// add takes over the declarations of a cell that was compiled.
func (l *ledger) add(cell []declaration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range cell {
		l.drop(d.keys)
		l.list = append(l.list, d)
	}
}

// drop forgets what declares one of the keys, a group of constants as a whole.
func (l *ledger) drop(keys []string) {
	l.list = slices.DeleteFunc(l.list, func(d declaration) bool {
		return slices.ContainsFunc(d.keys, func(k string) bool { return slices.Contains(keys, k) })
	})
}

// forget takes declarations out.
func (l *ledger) forget(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(keys)
}

// text is the session's imports and its other declarations, without those of the keys
// in except.
func (l *ledger) text(except []string) (string, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var imports, rest strings.Builder
	for _, d := range l.list {
		if slices.ContainsFunc(d.keys, func(k string) bool { return slices.Contains(except, k) }) {
			continue
		}
		out := &rest
		if d.kind == token.IMPORT {
			out = &imports
		}
		out.WriteString(d.text + "\n")
	}
	return imports.String(), rest.String()
}

// followMagic does what a line of gonb's magic does to its declarations.
func (l *ledger) followMagic(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	words := strings.Fields(line)
	switch {
	case len(words) == 1 && words[0] == "%reset":
		l.list = nil
	case len(words) > 1 && (words[0] == "%rm" || words[0] == "%remove"):
		var keys []string
		for _, name := range words[1:] {
			keys = append(keys, name, "import "+name, strings.Replace(name, "~", ".", 1))
		}
		l.drop(keys)
	}
}

// all returns a copy of the list.
func (l *ledger) all() []declaration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

// declarations finds what a cell declares for later ones.
func (c *cell) declarations() []declaration {
	var out []declaration
	from := 0
	for _, it := range c.items {
		if c.body && it.start >= c.bodyAt {
			break
		}
		begin := from
		from = it.end
		if !it.decl || it.name == "main" {
			continue
		}
		text := strings.TrimSpace(strings.TrimPrefix(c.text[begin:it.end], ";")) // with its comment
		const head = "package p\n"
		file, err := parser.ParseFile(token.NewFileSet(), "", head+text, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			continue
		}
		piece := func(n ast.Node) string { return text[int(n.Pos())-1-len(head) : int(n.End())-1-len(head)] }
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				key := d.Name.Name
				if d.Recv != nil && len(d.Recv.List) > 0 {
					key = receiver(d.Recv.List[0].Type) + "." + key
				}
				out = append(out, declaration{[]string{key}, text, token.FUNC})
			case *ast.GenDecl:
				if d.Tok == token.CONST { // iota, and values that are repeated
					var keys []string
					for _, s := range d.Specs {
						keys = append(keys, names(s)...)
					}
					out = append(out, declaration{keys, text, d.Tok})
					continue
				}
				for _, s := range d.Specs {
					one := d.Tok.String() + " " + piece(s)
					if len(d.Specs) == 1 && !d.Lparen.IsValid() {
						one = text
					}
					out = append(out, declaration{names(s), one, d.Tok})
				}
			}
		}
	}
	return out
}

// names are the keys of a spec.
func names(s ast.Spec) []string {
	var out []string
	switch s := s.(type) {
	case *ast.ImportSpec:
		name := path.Base(strings.Trim(s.Path.Value, "\"`"))
		if s.Name != nil {
			name = s.Name.Name
		}
		if name == "." || name == "_" {
			name += s.Path.Value
		}
		out = append(out, "import "+name)
	case *ast.TypeSpec:
		out = append(out, s.Name.Name)
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.Name != "_" {
				out = append(out, n.Name)
			}
		}
	}
	return out
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
