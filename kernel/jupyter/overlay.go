package jupyter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// overlay is a cell, as far as it is typed, as a file that gopls can look at: behind the
// session's other declarations, its statements in main, what is open closed.
type overlay struct {
	text  string
	begin int    // of the cell in text, in bytes
	code  string // the cell
	at    int    // byte of the cell before which open was put
	open  string
}

// newOverlay makes the file; ok is false if the cell is not Go. cursor, in bytes of the
// cell, is in a part that stays where it is.
func newOverlay(code string, cursor int, session *ledger) (overlay, bool) {
	c := scan(code)
	if c.whole {
		return overlay{}, false
	}
	body := []byte(c.text)
	var moved, movedImports strings.Builder
	var own []string // keys that the cell declares itself
	for _, d := range c.declarations() {
		own = append(own, d.keys...)
	}
	at := -1
	if c.body {
		at = c.bodyAt
	}
	for _, it := range c.items {
		switch {
		case !it.decl && at < 0:
			at = it.start
		case it.name == "main" || c.body:
		case it.decl && at >= 0 && (it.keyword == token.IMPORT || it.keyword == token.FUNC) && (cursor < it.start || cursor > it.end):
			// Go has it only outside of functions.
			out := &moved
			if it.keyword == token.IMPORT {
				out = &movedImports
			}
			out.WriteString(c.text[it.start:it.end] + "\n")
			copy(body[it.start:it.end], blank(c.text[it.start:it.end]))
		}
	}
	o := overlay{code: code, at: len(code)}
	head := "package main\n"
	cellText := string(body)
	missing := unclosed(cellText)
	if at >= 0 {
		o.at, o.open = at, opening
		cellText = cellText[:at] + opening + cellText[at:] + "\n" + missing + "}\n"
	} else {
		cellText += "\n" + missing
	}
	imports, rest := session.text(own)
	imports, rest = imports+movedImports.String(), rest+moved.String()
	imports += guessImports(head + imports + ownImports(&c) + rest + cellText)
	// The cell's own imports must precede the declarations of others: these go behind.
	o.begin = len(head) + len(imports)
	o.text = head + imports + cellText + "\n" + rest
	if !strings.Contains(cellText, "func main()") {
		o.text += "func main() {}\n"
	}
	return o, true
}

func ownImports(c *cell) string {
	out := ""
	for _, d := range c.declarations() {
		if d.kind == token.IMPORT {
			out += d.text + "\n"
		}
	}
	return out
}

// into translates a byte of the cell to one of the file.
func (o *overlay) into(at int) int {
	if at >= o.at {
		at += len(o.open)
	}
	return o.begin + at
}

// back translates a byte of the file to one of the cell.
func (o *overlay) back(at int) int {
	at -= o.begin
	if at >= o.at+len(o.open) {
		at -= len(o.open)
	} else if at > o.at {
		at = o.at
	}
	return min(max(at, 0), len(o.code))
}

// unclosed are the brackets that would close what is open at the end of a text.
func unclosed(text string) string {
	var open []byte
	for i := 0; i < len(text); i++ {
		switch b := text[i]; b {
		case '"', '`', '\'':
			end := i + 1
			for end < len(text) && text[end] != b && (b == '`' || text[end] != '\n') {
				if text[end] == '\\' && b != '`' {
					end++
				}
				end++
			}
			i = end
		case '/':
			if strings.HasPrefix(text[i:], "//") {
				i += strings.IndexByte(text[i:]+"\n", '\n')
			} else if strings.HasPrefix(text[i:], "/*") {
				i += strings.Index(text[i:]+"*/", "*/")
			}
		case '(':
			open = append(open, ')')
		case '[':
			open = append(open, ']')
		case '{':
			open = append(open, '}')
		case ')', ']', '}':
			if len(open) > 0 && open[len(open)-1] == b {
				open = open[:len(open)-1]
			}
		}
	}
	slices.Reverse(open)
	return string(open)
}

// guessImports imports the packages of the standard library that a program names and
// does not import, as gonb will. The file may be broken.
func guessImports(src string) string {
	file, _ := parser.ParseFile(token.NewFileSet(), "", src, 0)
	if file == nil {
		return ""
	}
	have := map[string]bool{}
	for _, s := range file.Imports {
		have[strings.TrimPrefix(names(s)[0], "import ")] = true
	}
	var out []string
	unresolved := map[*ast.Ident]bool{}
	for _, id := range file.Unresolved {
		unresolved[id] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		id, ok := sel.X.(*ast.Ident)
		if !ok || !unresolved[id] || have[id.Name] {
			return true
		}
		if path, ok := standard[id.Name]; ok {
			have[id.Name] = true
			out = append(out, "import "+strconv.Quote(path)+"\n")
		}
		return true
	})
	return strings.Join(out, "")
}

// standard are the packages that cells use without an import, by name.
var standard = func() map[string]string {
	out := map[string]string{}
	for _, p := range strings.Fields(`bufio bytes cmp context encoding/base64 encoding/binary encoding/csv encoding/hex
		encoding/json errors flag fmt html image image/color image/png io io/fs iter log log/slog maps math math/big
		math/bits math/cmplx math/rand/v2 net/http net/url os os/exec os/signal path path/filepath reflect regexp runtime
		runtime/debug slices sort strconv strings sync sync/atomic syscall testing text/tabwriter text/template time unicode
		unicode/utf8 crypto/sha256 hash/fnv archive/zip compress/gzip container/heap unsafe`) {
		name := p[strings.LastIndexByte(p, '/')+1:]
		if name == "v2" {
			name = "rand"
		}
		out[name] = p
	}
	return out
}()

// byteAt is the byte of a text at which its n-th character begins.
func byteAt(text string, n int) int {
	for i := range text {
		if n <= 0 {
			return i
		}
		n--
	}
	return len(text)
}

// lspPosition is a place as gopls counts: lines from 0, then units of UTF-16.
type lspPosition struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

func positionOf(text string, at int) lspPosition {
	before := text[:at]
	begin := strings.LastIndexByte(before, '\n') + 1
	return lspPosition{strings.Count(before, "\n"), len(utf16.Encode([]rune(before[begin:])))}
}

func offsetOf(text string, p lspPosition) int {
	at := 0
	for range p.Line {
		next := strings.IndexByte(text[at:], '\n')
		if next < 0 {
			return len(text)
		}
		at += next + 1
	}
	for n := p.Character; n > 0 && at < len(text) && text[at] != '\n'; {
		r, size := utf8.DecodeRuneInString(text[at:])
		n -= utf16.RuneLen(r)
		at += size
	}
	return at
}
