//go:build unix

package jupyter

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"strconv"
	"strings"
)

// resultEnv names the file that a cell writes its result to.
const resultEnv = "FTLAB_RESULT"

// show is the function that writes the value of the last expression: pairs of a media
// type and a text, each ended by a zero byte. It stands outside of main, where a variable
// of the cell cannot hide a package. A value says itself what it looks like, by methods
// Text, HTML and SVG, with or without an error; a slice of structs is a table.
const show = `func ftlabShow(vs ...any) {
if len(vs) == 1 && vs[0] == nil { return }
s := ""
put := func(kind, text string) { s += kind + "\x00" + strings.ReplaceAll(text, "\x00", "\ufffd") + "\x00" }
text := ""
for i, v := range vs { if i > 0 { text += " " }; text += fmt.Sprintf("%+v", v) }
if len(vs) == 1 {
if x, ok := vs[0].(interface{ Text() string }); ok { text = x.Text() }
if x, ok := vs[0].(interface{ HTML() string }); ok { put("text/html", x.HTML()) }
if x, ok := vs[0].(interface{ HTML() (string, error) }); ok { if h, err := x.HTML(); err == nil { put("text/html", h) } else { text += "\n" + err.Error() } }
if x, ok := vs[0].(interface{ SVG() string }); ok { put("image/svg+xml", x.SVG()) }
if x, ok := vs[0].(interface{ SVG() (string, error) }); ok { if g, err := x.SVG(); err == nil { put("image/svg+xml", g) } else { text += "\n" + err.Error() } }
if r := reflect.ValueOf(vs[0]); s == "" && r.Kind() == reflect.Slice && r.Len() > 0 {
e, at := r.Type().Elem(), func(i int) reflect.Value { return reflect.Indirect(r.Index(i)) }
if _, plain := r.Index(0).Interface().(fmt.Stringer); e.Kind() == reflect.Pointer { e = e.Elem() } else if plain { e = reflect.TypeOf(0) }
if e.Kind() == reflect.Struct && len(reflect.VisibleFields(e)) > 0 {
h, n := "<table><tr>", 0
for i := range e.NumField() { if f := e.Field(i); f.IsExported() { n++; h += "<th>" + html.EscapeString(f.Name) + "</th>" } }
h += "</tr>"
for i := range min(r.Len(), 50) { h += "<tr>"; for j := range e.NumField() { if e.Field(j).IsExported() { h += "<td>"; if at(i).IsValid() { h += html.EscapeString(fmt.Sprintf("%v", at(i).Field(j).Interface())) }; h += "</td>" } }; h += "</tr>" }
h += "</table>"
if r.Len() > 50 { h += fmt.Sprintf("<p>%d more rows</p>", r.Len()-50) }
if n > 0 { put("text/html", h) } } } }
if len(text) > 1<<16 { text = text[:1<<16] + "..." }
put("text/plain", text)
os.WriteFile(os.Getenv("` + resultEnv + `"), []byte(s), 0o600)
}`

// Program is a cell as gonb takes it.
type Program struct {
	Code  string
	Lines []int  // for each line of Code, the line of the cell it comes from, from 0
	Plain string // Code that shows no result, for a last call that returns nothing; or ""
}

// Rewrite makes a program of a cell. A cell of declarations, one with %% or %main in
// it, and one that begins with another cell magic stay as they are. In any other:
//
//   - imports, types, functions and the var and const above the first statement are
//     declarations, which later cells have too;
//   - all else is the body of main, in its order;
//   - if the last statement is an expression, its value is the cell's result, unless
//     a semicolon ends it, it prints by itself or the value is nil: an error that did
//     not happen.
func Rewrite(code string) Program {
	p := Program{Code: code}
	for i := range strings.Count(code, "\n") + 1 {
		p.Lines = append(p.Lines, i)
	}
	c := scan(code)
	if c.whole || c.body || c.depth != 0 || c.open || c.broken {
		return p
	}
	statements := false
	for _, it := range c.items {
		if it.name == "main" {
			return p
		}
		statements = statements || !it.decl
	}
	if !statements {
		return p
	}
	showLast, maybe := c.shown()
	p.Code, p.Lines = c.compose(code, showLast)
	if showLast && maybe {
		p.Plain, _ = c.compose(code, false)
	}
	return p
}

// compose puts magic first, then declarations, then main, then show if it is used. The
// lines before that are the same with and without a result.
func (c *cell) compose(code string, showLast bool) (string, []int) {
	var out strings.Builder
	var lines []int
	add := func(text string, from int) {
		for i := range strings.Count(text, "\n") + 1 {
			lines = append(lines, from+i)
		}
		out.WriteString(text + "\n")
	}
	source := strings.Split(code, "\n")
	for _, i := range c.magic {
		if i < len(source) && source[i] != "" {
			add(source[i], i)
		}
	}
	lineAt := func(offset int) int { return strings.Count(c.text[:offset], "\n") }
	from, body := 0, []item{}
	for _, it := range c.items { // comments above a declaration go with it
		if it.decl {
			add(strings.TrimPrefix(c.text[from:it.end], ";"), lineAt(from))
		} else {
			body = append(body, item{start: from, end: it.end})
		}
		from = it.end
	}
	for i, it := range body {
		text := strings.TrimPrefix(c.text[it.start:it.end], ";")
		last := c.items[len(c.items)-1]
		if i == len(body)-1 && last.quiet && c.unused() { // Go would not take it alone
			text = strings.TrimPrefix(c.text[it.start:last.start], ";") + "_ = " + c.text[last.start:last.end]
		}
		if i == len(body)-1 && showLast {
			text = strings.TrimPrefix(c.text[it.start:last.start], ";") + "ftlabShow(" + c.text[last.start:last.end] + ")"
		}
		if i == 0 {
			text = opening + text
		}
		if i == len(body)-1 {
			rest := c.text[it.end:] // comments at the end
			text += strings.TrimRight(strings.TrimPrefix(rest, ";"), "\n") + "\n}"
		}
		add(text, lineAt(it.start))
	}
	if showLast { // last: imports must come first
		for line := range strings.Lines(show) {
			add(strings.TrimSuffix(line, "\n"), 0)
		}
	}
	return strings.TrimSuffix(out.String(), "\n"), lines
}

// unused says whether the last item is a value, not a call.
func (c *cell) unused() bool {
	it := c.items[len(c.items)-1]
	expr, err := parser.ParseExpr(c.text[it.start:it.end])
	_, call := expr.(*ast.CallExpr)
	return err == nil && !it.decl && !call
}

// check finds what is not Go before gonb sees it: gonb would take a broken statement
// for a broken declaration. The cell goes by the number id.
func check(typed string, p Program, id int, cells map[int]source) *failure {
	c := scan(typed)
	if c.whole || c.body {
		return nil
	}
	code, from := scan(p.Code).text, p.Lines
	if code == c.text && len(c.items) > 0 && !c.items[0].decl { // not rewritten: brackets are open
		code = "func _() {" + code + "\n}"
	}
	_, err := parser.ParseFile(token.NewFileSet(), "", "package p;"+code, parser.SkipObjectResolution)
	var list scanner.ErrorList
	if !errors.As(err, &list) {
		return nil
	}
	f := failure{Name: "CompileError", Value: list[0].Msg}
	for _, e := range list[:min(len(list), 5)] {
		line := strconv.Itoa(min(e.Pos.Line, len(from)))
		f.Trace = append(f.Trace, e.Msg+"\n"+place(strconv.Itoa(id), line, cells))
	}
	f.Trace[0] = f.Name + ": " + f.Trace[0]
	return &f
}

// takeResult reads what show wrote, and removes it.
func takeResult(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("jupyter: result of the cell: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("jupyter: result of the cell: %w", err)
	}
	out := map[string]string{}
	parts := strings.Split(string(data), "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		out[parts[i]] = parts[i+1]
	}
	return out, nil
}
