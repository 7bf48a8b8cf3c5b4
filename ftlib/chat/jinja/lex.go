package jinja

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A token of the template. Operators are tokens whose kind is the operator itself.
type token struct {
	kind string // data, var_begin, var_end, block_begin, block_end, name, string, integer, float, eof, or an operator
	text string
	num  any
	line int
}

type lexer struct {
	src    string
	pos    int
	line   int
	tokens []token
	// lineStart: the last match ended with a newline, so that spaces before the next
	// tag stand at the start of a line (what lstrip_blocks removes).
	lineStart bool
}

// isSpace is Python's str.isspace for one character, which is also \s in its patterns.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || (r >= 0x1c && r <= 0x1f)
}

func (l *lexer) emit(kind, text string) {
	l.tokens = append(l.tokens, token{kind: kind, text: text, line: l.line})
}

// advance moves to pos, counting lines.
func (l *lexer) advance(pos int) {
	l.line += strings.Count(l.src[l.pos:pos], "\n")
	l.pos = pos
}

func (l *lexer) skipSpace(pos int) int {
	for pos < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[pos:])
		if !isSpace(r) {
			break
		}
		pos += n
	}
	return pos
}

func lex(source string) []token {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(source, "\n"), line: 1, lineStart: true}
	for l.pos < len(l.src) {
		l.root()
	}
	l.emit("eof", "")
	return l.tokens
}

// root reads text up to the next tag, and the tag.
func (l *lexer) root() {
	begin := l.nextTag(l.pos)
	if begin < 0 {
		l.emit("data", l.src[l.pos:])
		l.advance(len(l.src))
		return
	}
	kind := l.src[begin+1]
	after := begin + 2
	sign := byte(0)
	if after < len(l.src) && (l.src[after] == '-' || l.src[after] == '+') {
		sign = l.src[after]
		after++
	}
	l.data(l.src[l.pos:begin], sign, kind != '{')
	l.advance(after)
	switch kind {
	case '#':
		l.comment()
	case '{':
		l.emit("var_begin", "{{")
		l.tag("}}", "var_end")
	default:
		if l.raw() {
			return
		}
		l.emit("block_begin", "{%")
		l.tag("%}", "block_end")
	}
}

func (l *lexer) nextTag(pos int) int {
	for i := pos; i+1 < len(l.src); i++ {
		if l.src[i] == '{' {
			if c := l.src[i+1]; c == '%' || c == '{' || c == '#' {
				return i
			}
		}
	}
	return -1
}

// data emits the text before a tag, with the white space removed that the tag's sign
// or lstrip_blocks removes.
func (l *lexer) data(text string, sign byte, block bool) {
	switch {
	case sign == '-':
		text = strings.TrimRightFunc(text, isSpace)
	case sign != '+' && block:
		at := strings.LastIndexByte(text, '\n') + 1
		if (at > 0 || l.lineStart) && strings.TrimFunc(text[at:], isSpace) == "" {
			text = text[:at]
		}
	}
	if text != "" {
		l.emit("data", text)
	}
}

// closing is the end of the closing tag that starts at pos ("%}" or "#}" with an
// optional sign), with the white space that it swallows; -1 when none starts there.
func (l *lexer) closing(pos int, mark string) int {
	rest := l.src[pos:]
	switch {
	case strings.HasPrefix(rest, "-"+mark):
		return l.skipSpace(pos + 1 + len(mark))
	case strings.HasPrefix(rest, "+"+mark) && mark != "}}":
		return pos + 1 + len(mark)
	case strings.HasPrefix(rest, mark):
		pos += len(mark)
		if mark != "}}" && pos < len(l.src) && l.src[pos] == '\n' {
			pos++ // trim_blocks
		}
		return pos
	}
	return -1
}

func (l *lexer) close(end int) {
	l.lineStart = l.src[end-1] == '\n'
	l.advance(end)
}

func (l *lexer) comment() {
	for p := l.pos; p < len(l.src); p++ {
		if end := l.closing(p, "#}"); end >= 0 {
			l.close(end)
			return
		}
	}
	failAt(l.line, "TemplateSyntaxError", "Missing end of comment tag")
}

// raw reads {% raw %} ... {% endraw %} when one starts here.
func (l *lexer) raw() bool {
	p := l.skipSpace(l.pos)
	if !strings.HasPrefix(l.src[p:], "raw") {
		return false
	}
	p = l.skipSpace(p + 3)
	switch {
	case strings.HasPrefix(l.src[p:], "-%}"):
		p = l.skipSpace(p + 3)
	case strings.HasPrefix(l.src[p:], "%}"):
		p += 2
	default:
		return false
	}
	start := p
	l.lineStart = l.src[p-1] == '\n'
	for ; p < len(l.src); p++ {
		if !strings.HasPrefix(l.src[p:], "{%") {
			continue
		}
		q, sign := p+2, byte(0)
		if q < len(l.src) && (l.src[q] == '-' || l.src[q] == '+') {
			sign = l.src[q]
			q++
		}
		q = l.skipSpace(q)
		if !strings.HasPrefix(l.src[q:], "endraw") {
			continue
		}
		q = l.skipSpace(q + 6)
		if end := l.closing(q, "%}"); end >= 0 {
			l.data(l.src[start:p], sign, true)
			l.close(end)
			return true
		}
	}
	failAt(l.line, "TemplateSyntaxError", "Missing end of raw directive")
	return true
}

var operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}

// tag reads the tokens of one tag up to its end.
func (l *lexer) tag(mark, endKind string) {
	var open []byte
	for l.pos < len(l.src) {
		if len(open) == 0 {
			if end := l.closing(l.pos, mark); end >= 0 {
				l.emit(endKind, mark)
				l.close(end)
				return
			}
		}
		rest := l.src[l.pos:]
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case isSpace(r):
			l.advance(l.skipSpace(l.pos))
		case r >= '0' && r <= '9':
			l.number(rest)
		case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			end := strings.IndexFunc(rest, func(r rune) bool {
				return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r)
			})
			if end < 0 {
				end = len(rest)
			}
			l.emit("name", rest[:end])
			l.advance(l.pos + end)
		case r == '\'' || r == '"':
			end := stringEnd(rest)
			if end < 0 {
				failAt(l.line, "TemplateSyntaxError", "unexpected char %s at %d", reprText(string(r)), utf8.RuneCountInString(l.src[:l.pos]))
			}
			l.emit("string", unescape(rest[1:end-1], l.line))
			l.advance(l.pos + end)
		default:
			op := operatorAt(rest)
			if op == "" {
				failAt(l.line, "TemplateSyntaxError", "unexpected char %s at %d", reprText(rest[:n]), utf8.RuneCountInString(l.src[:l.pos]))
			}
			open = l.balance(open, op)
			l.emit(op, op)
			l.advance(l.pos + len(op))
		}
	}
}

// balance keeps the stack of open brackets.
func (l *lexer) balance(open []byte, op string) []byte {
	switch op {
	case "{":
		return append(open, '}')
	case "(":
		return append(open, ')')
	case "[":
		return append(open, ']')
	case "}", ")", "]":
		if len(open) == 0 {
			failAt(l.line, "TemplateSyntaxError", "unexpected '%s'", op)
		}
		if want := open[len(open)-1]; want != op[0] {
			failAt(l.line, "TemplateSyntaxError", "unexpected '%s', expected '%c'", op, want)
		}
		return open[:len(open)-1]
	}
	return open
}

func operatorAt(s string) string {
	for _, op := range operators {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

func stringEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return -1
}

// number reads an integer or a float as Python writes them.
func (l *lexer) number(s string) {
	digits := func(i int) int { // \d+ with single underscores between
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '_' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9') {
			i++
		}
		return i
	}
	end, kind := 0, "integer"
	if len(s) > 2 && s[0] == '0' && strings.ContainsRune("xXoObB", rune(s[1])) {
		end = 2
		for end < len(s) && (s[end] == '_' || strings.IndexByte("0123456789abcdefABCDEF", s[end]) >= 0) {
			end++
		}
	} else {
		end = digits(0)
		afterDot := l.pos > 0 && l.src[l.pos-1] == '.'
		if !afterDot && end+1 < len(s) && s[end] == '.' && s[end+1] >= '0' && s[end+1] <= '9' {
			kind, end = "float", digits(end+1)
		}
		if !afterDot && end < len(s) && (s[end] == 'e' || s[end] == 'E') {
			e := end + 1
			if e < len(s) && (s[e] == '+' || s[e] == '-') {
				e++
			}
			if e < len(s) && s[e] >= '0' && s[e] <= '9' {
				kind, end = "float", digits(e)
			}
		}
	}
	text := strings.ReplaceAll(s[:end], "_", "")
	t := token{kind: kind, text: text, line: l.line}
	var err error
	if kind == "float" {
		t.num, err = strconv.ParseFloat(text, 64)
	} else {
		var n int64
		n, err = strconv.ParseInt(text, 0, 64)
		if err != nil && strings.Trim(text, "0") == "" {
			n, err = 0, nil // 00 is zero
		}
		t.num = n
	}
	if err != nil {
		failAt(l.line, "TemplateSyntaxError", "bad number %s", s[:end])
	}
	l.tokens = append(l.tokens, t)
	l.advance(l.pos + end)
}

// unescape reads the escapes of a Python string literal.
func unescape(s string, line int) string {
	if !strings.ContainsRune(s, '\\') {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a':
			b.WriteByte(7)
		case 'b':
			b.WriteByte(8)
		case 'f':
			b.WriteByte(12)
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'v':
			b.WriteByte(11)
		case 'x', 'u', 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if i+n >= len(s) {
				failAt(line, "TemplateSyntaxError", "truncated \\%c escape", c)
			}
			v, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32)
			if err != nil || v > utf8.MaxRune {
				failAt(line, "TemplateSyntaxError", "truncated \\%c escape", c)
			}
			b.WriteRune(rune(v))
			i += n
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 32)
			b.WriteRune(rune(v))
			i += n - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String()
}
