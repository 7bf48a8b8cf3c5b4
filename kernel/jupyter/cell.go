package jupyter

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
	"strings"
)

// item is a declaration or a statement at the outermost level of a cell.
type item struct {
	decl       bool
	keyword    token.Token // first token
	name       string      // of a function
	start, end int         // byte offsets of the first token and behind the last
	quiet      bool        // ended by a semicolon that was typed
}

// cell is what a scan of a cell's text finds.
type cell struct {
	text   string // with lines of magic blanked out
	magic  []int  // lines, from 0, that are magic
	whole  bool   // cell magic in the first line: not Go
	body   bool   // a line says that statements follow
	bodyAt int    // where that line ends
	items  []item
	depth  int         // of brackets left open; negative when one too many is closed
	last   token.Token // last token before the end
	open   bool        // a raw string or a comment is not ended
	broken bool        // a token is not Go
}

// scan splits a cell's text.
func scan(code string) cell {
	var c cell
	lines := strings.SplitAfter(code, "\n")
	at := 0
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		at += len(lines[i])
		if !strings.HasPrefix(lines[i], "%") && !strings.HasPrefix(lines[i], "!") {
			continue
		}
		word, _, _ := strings.Cut(line, " ")
		switch {
		case word == "%%" || word == "%main":
			c.body, c.bodyAt = true, at
		case i == 0 && strings.HasPrefix(word, "%%"):
			c.whole = true
		case word == "%test" || word == "%wasm":
			c.whole = true // gonb composes these programs in its own way
		}
		for more := true; more && i < len(lines); i++ { // a backslash goes on with the magic
			more = strings.HasSuffix(strings.TrimRight(lines[i], "\r\n"), `\`)
			c.magic = append(c.magic, i)
			lines[i] = blank(lines[i])
			if more && i+1 < len(lines) {
				at += len(lines[i+1])
			}
		}
		i--
	}
	c.text = strings.Join(lines, "")
	if !c.whole {
		c.tokens()
	}
	return c
}

func blank(line string) string {
	out := []byte(line)
	for i, b := range out {
		if b != '\n' {
			out[i] = ' '
		}
	}
	return string(out)
}

// tokens fills items and what is left open.
func (c *cell) tokens() {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(c.text))
	s.Init(file, []byte(c.text), func(_ token.Position, msg string) {
		if strings.Contains(msg, "not terminated") && (strings.HasPrefix(msg, "raw string") || strings.HasPrefix(msg, "comment")) {
			c.open = true
		} else {
			c.broken = true
		}
	}, 0)
	var toks []token.Token // of the item being read
	var lits []string
	var cur item
	finish := func(quiet bool) {
		if len(toks) > 0 {
			cur.quiet = quiet
			cur.keyword, cur.decl, cur.name = classify(toks, lits)
			c.items = append(c.items, cur)
		}
		toks, lits = nil, nil
	}
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			break
		}
		at := file.Offset(pos)
		if tok == token.SEMICOLON && c.depth <= 0 {
			finish(lit == ";")
			continue
		}
		switch tok {
		case token.LPAREN, token.LBRACK, token.LBRACE:
			c.depth++
		case token.RPAREN, token.RBRACK, token.RBRACE:
			c.depth--
		}
		if len(toks) == 0 {
			cur = item{start: at}
		}
		if tok != token.SEMICOLON || lit == ";" {
			c.last = tok
			cur.end = at + max(len(lit), len(tok.String()))
			if tok.IsLiteral() || tok == token.SEMICOLON {
				cur.end = at + len(lit)
			} else if tok.IsOperator() {
				cur.end = at + len(tok.String())
			}
		}
		toks, lits = append(toks, tok), append(lits, lit)
	}
	finish(false)
	seen := false // a statement: what var and const declare after it may need it
	for i := range c.items {
		it := &c.items[i]
		if it.keyword == token.VAR || it.keyword == token.CONST {
			it.decl = !seen
		}
		seen = seen || !it.decl
	}
}

// classify tells declarations from statements by their first tokens. A function
// literal that is called at once is a statement.
func classify(toks []token.Token, lits []string) (keyword token.Token, decl bool, name string) {
	switch toks[0] {
	case token.IMPORT, token.TYPE, token.VAR, token.CONST:
		return toks[0], true, ""
	case token.FUNC:
	default:
		return toks[0], false, ""
	}
	if len(toks) > 1 && toks[1] == token.IDENT {
		return token.FUNC, true, lits[1]
	}
	depth := 0
	for i, t := range toks[1:] {
		switch t {
		case token.LPAREN:
			depth++
		case token.RPAREN:
			depth--
		}
		if depth == 0 { // behind the receiver, or the parameters of a literal
			rest := toks[i+2:]
			return token.FUNC, len(rest) > 1 && rest[0] == token.IDENT && rest[1] == token.LPAREN, ""
		}
	}
	return token.FUNC, false, ""
}

// Completeness is the content of an is_complete_reply.
type Completeness struct {
	Status string `json:"status"` // complete, incomplete or invalid
	Indent string `json:"indent,omitempty"`
}

// IsComplete says whether a console should run the code or let its user go on.
func IsComplete(code string) Completeness {
	if strings.TrimSpace(code) == "" {
		return Completeness{Status: "complete"}
	}
	c := scan(code)
	incomplete := Completeness{Status: "incomplete", Indent: strings.Repeat("\t", max(0, c.depth))}
	if c.whole || c.body && len(c.items) == 0 { // as long as lines are typed
		if strings.HasSuffix(code, "\n\n") {
			return Completeness{Status: "complete"}
		}
		return incomplete
	}
	switch {
	case c.broken || c.depth < 0:
		return Completeness{Status: "invalid"}
	case c.open || c.depth > 0:
		return incomplete
	case strings.HasSuffix(strings.TrimRight(code, "\n"), `\`) && len(c.magic) > 0:
		return incomplete
	case len(c.items) == 0:
		return Completeness{Status: "complete"}
	}
	if c.valid() {
		return Completeness{Status: "complete"}
	}
	// An operator or a keyword at the end waits for what comes after it.
	if c.last.IsKeyword() && c.last != token.RETURN || c.last.IsOperator() && !slices.Contains([]token.Token{token.RPAREN, token.RBRACK, token.RBRACE, token.SEMICOLON, token.INC, token.DEC}, c.last) {
		return incomplete
	}
	return Completeness{Status: "invalid"}
}

// valid parses each item by itself.
func (c *cell) valid() bool {
	for _, it := range c.items {
		src := "package p\n" + c.text[it.start:it.end]
		if !it.decl || c.body {
			src = "package p\nfunc _() {\n" + c.text[it.start:it.end] + "\n}"
		}
		if _, err := parser.ParseFile(token.NewFileSet(), "", src, parser.SkipObjectResolution); err != nil {
			if it.decl && c.body { // %% may come below declarations
				if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+c.text[it.start:it.end], parser.SkipObjectResolution); err == nil {
					continue
				}
			}
			return false
		}
	}
	return true
}

// shown says whether the last item is an expression to show as the result. A call may
// return nothing, which only the compiler knows: maybe is true then.
func (c *cell) shown() (show, maybe bool) {
	it := c.items[len(c.items)-1]
	if it.decl || it.quiet {
		return false, false
	}
	expr, err := parser.ParseExpr(c.text[it.start:it.end])
	if err != nil {
		return false, false
	}
	call, ok := expr.(*ast.CallExpr)
	if !ok {
		return true, false
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return !slices.Contains([]string{"panic", "print", "println", "close", "delete", "clear", "copy"}, f.Name), true
	case *ast.SelectorExpr:
		if p, ok := f.X.(*ast.Ident); ok && p.Name == "fmt" {
			return !strings.HasPrefix(f.Sel.Name, "Print") && !strings.HasPrefix(f.Sel.Name, "Fprint"), true
		}
	}
	return true, true
}
