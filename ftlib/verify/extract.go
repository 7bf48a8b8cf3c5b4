package verify

import (
	"regexp"
	"strings"
)

// Mark is how a text marked its final answer.
type Mark string

// The marks, and what counts where there is none.
const (
	None       Mark = ""
	Hashes     Mark = "####"
	Boxed      Mark = "boxed"
	ALine      Mark = "A:"
	Says       Mark = "answer is"
	LastMath   Mark = "math"   // no mark: the last $...$
	LastNumber Mark = "number" // no mark: the last number
	Whole      Mark = "text"   // no mark: the text is nothing but an answer
)

// Explicit says that the text itself says what its answer is.
func (m Mark) Explicit() bool {
	return m == Hashes || m == Boxed || m == ALine || m == Says
}

var (
	aLine    = regexp.MustCompile(`(?m)^[ \t]*\**A\**:\**[ \t]*(\S[^\n]*)$`)
	says     = regexp.MustCompile(`(?i)\b(?:final\s+)?answer\**\s*(?:(?:is|would be|equals)\b(?:\s+(?:therefore|thus|then|simply)\b)?\s*:?|:|=)\**\s*`)
	mathSpan = regexp.MustCompile(`\$\$([^$]+)\$\$|\$([^$\n]+)\$|\\\(([^\n]+?)\\\)|\\\[((?s:.+?))\\\]`)
)

// maxAnswer is the longest text that counts as an answer, in bytes.
const maxAnswer = 4096

// Extract is the final answer of a text and how it was marked. Of several marks of one
// sort the last counts; of several sorts the first of the kind's own order: "####",
// "A:", \boxed{}, "the answer is" for numbers, and \boxed{} first for mathematics.
// What stands before the last </think> is not looked at.
func Extract(kind Kind, text string) (answer string, mark Mark) {
	if i := strings.LastIndex(text, "</think>"); i >= 0 {
		text = text[i+len("</think>"):]
	}
	order := []Mark{Hashes, ALine, Boxed, Says}
	if kind == Math {
		order = []Mark{Boxed, Hashes, Says, ALine}
	}
	for _, m := range order {
		if a, ok := marked(m, text); ok {
			return a, m
		}
	}
	if strings.Contains(text, "<<") && strings.Contains(text, ">>") {
		return "", None
	}
	whole := strings.TrimSpace(text)
	if whole == "" {
		return "", None
	}
	if kind == Math {
		if len(whole) <= 200 && !strings.Contains(whole, "\n") && (isAnswer(whole) || !strings.Contains(whole, " ")) {
			return whole, Whole
		}
		if m := mathSpan.FindAllStringSubmatch(tail(text, 4*maxAnswer), -1); m != nil {
			last := m[len(m)-1]
			return strings.TrimSpace(last[1] + last[2] + last[3] + last[4]), LastMath
		}
	} else if len(whole) <= 200 && read(whole, true).form.kind == formExpr && isNumber(whole) {
		return whole, Whole
	}
	if n := lastNumber(text); n != "" {
		return n, LastNumber
	}
	if len(whole) <= 200 {
		return whole, Whole
	}
	return "", None
}

// isAnswer says that a text is a formula, not a sentence.
func isAnswer(s string) bool {
	a := read(s, true)
	if a.form.kind == formText {
		return len(strings.Fields(s)) <= 3
	}
	return a.form.words() == 0
}

func marked(m Mark, text string) (string, bool) {
	switch m {
	case Hashes:
		i := strings.LastIndex(text, "####")
		if i < 0 {
			return "", false
		}
		line, _, _ := strings.Cut(strings.TrimLeft(text[i+4:], "# \t"), "\n")
		line = strings.TrimSpace(line)
		return clip(line), line != ""
	case ALine:
		all := aLine.FindAllStringSubmatch(text, -1)
		if all == nil {
			return "", false
		}
		return clip(strings.TrimSpace(all[len(all)-1][1])), true
	case Boxed:
		return lastBoxed(text)
	case Says:
		all := says.FindAllStringIndex(text, -1)
		for i := len(all) - 1; i >= 0 && i >= len(all)-8; i-- {
			if a := sentence(text[all[i][1]:]); a != "" {
				return a, true
			}
		}
	}
	return "", false
}

// lastBoxed is what the last \boxed or \fbox holds that is closed.
func lastBoxed(text string) (string, bool) {
	end := len(text)
	for tries := 0; tries < 16; tries++ {
		i := max(strings.LastIndex(text[:end], `\boxed`), strings.LastIndex(text[:end], `\fbox`))
		if i < 0 {
			return "", false
		}
		_, rest, _ := strings.Cut(text[i:], "box")
		rest = strings.TrimLeft(strings.TrimPrefix(rest, "ed"), " \t\n")
		if inner, ok := strings.CutPrefix(rest, "{"); ok {
			if a, closed := braced(inner); closed && strings.TrimSpace(a) != "" {
				return clip(strings.TrimSpace(a)), true
			}
		} else if a := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(" \t\n$", r) }); len(a) > 0 && a[0] != "" {
			return clip(strings.TrimRight(a[0], ".,;")), true // \boxed 5
		}
		end = i
	}
	return "", false
}

// braced is text up to the brace that closes the one before it.
func braced(text string) (string, bool) {
	depth := 1
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // \{ and \} are no braces
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return text[:i], true
			}
		}
	}
	return "", false
}

// sentence is what "the answer is" says: up to the end of the line or sentence,
// without the marks of Markdown.
func sentence(s string) string {
	s = strings.TrimLeft(tailHead(s), " \t\n*_`:")
	line, _, _ := strings.Cut(s, "\n")
	if strings.HasPrefix(s, `\[`) || strings.HasPrefix(s, "$$") { // mathematics on lines of its own
		if m := mathSpan.FindStringSubmatchIndex(s); m != nil && m[0] == 0 {
			line = strings.ReplaceAll(s[:m[1]], "\n", " ")
		}
	}
	if m := mathSpan.FindStringIndex(line); m != nil && m[0] == 0 {
		rest := strings.TrimLeft(line[m[1]:], " ")
		if rest == "" || strings.ContainsRune(".;(", rune(rest[0])) {
			line = line[:m[1]]
		}
	}
	inMath := false
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '$':
			inMath = !inMath && strings.IndexByte(line[i+1:], '$') >= 0
		case '.':
			if !inMath && (i+1 == len(line) || line[i+1] == ' ') && !initial(line[:i]) {
				line = line[:i]
			}
		}
	}
	return clip(strings.Trim(strings.TrimSpace(line), "*_`\"“” "))
}

// initial says that a full stop behind s belongs to an abbreviation: "a.m."
func initial(s string) bool {
	return len(s) >= 2 && s[len(s)-2] == '.' || strings.HasSuffix(s, " a") || strings.HasSuffix(s, " p")
}

func tailHead(s string) string {
	if len(s) > maxAnswer {
		s = s[:maxAnswer]
	}
	return s
}

func tail(s string, n int) string {
	if len(s) > n {
		s = s[len(s)-n:]
	}
	return s
}

// clip bounds an answer.
func clip(s string) string { return strings.TrimSpace(tailHead(s)) }
