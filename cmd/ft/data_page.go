package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/width"
)

// page prints tables and wrapped text, in colour on a terminal.
type page struct {
	w     io.Writer
	color bool
	width int // columns
}

// newPage looks at where the output goes. NO_COLOR and COLUMNS are heeded.
func newPage(cmd *cobra.Command) *page {
	p := &page{w: cmd.OutOrStdout(), width: 100}
	if f, ok := p.w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.width = w
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		p.width = n
	}
	p.width = min(max(p.width, 40), 140)
	return p
}

func (p *page) line(format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	fmt.Fprintln(p.w, strings.TrimRight(format, " "))
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	cyan   = "36"
)

func (p *page) paint(style, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// table prints rows under their heading in aligned columns. Long cells are cut; the
// last column wraps.
func (p *page) table(rows [][]string) { p.columns(rows, true) }

// list is a table whose last column is cut too, so that a row is a line.
func (p *page) list(rows [][]string) { p.columns(rows, false) }

func (p *page) columns(rows [][]string, wraps bool) {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], cells(c))
		}
	}
	last := len(widths) - 1
	left := 2
	for i, w := range widths[:last] {
		widths[i] = min(w, max(12, p.width*2/5))
		left += widths[i] + 2
	}
	room := p.width - left
	if room < 16 && !wraps {
		room = 0 // no room for the last column
	}
	over := left - p.width
	if wraps {
		over += 16
	}
	if over > 0 { // the first column gives way
		narrow := max(12, widths[0]-over)
		left -= widths[0] - narrow
		widths[0] = narrow
	}
	if wraps {
		room = max(16, p.width-left)
	}
	for n, r := range rows {
		var b strings.Builder
		b.WriteString("  ")
		for i, c := range r[:last] {
			c = fit(oneLine(c), widths[i])
			pad := strings.Repeat(" ", widths[i]-cells(c)+2)
			switch {
			case n == 0:
				c = p.paint(dim, c)
			case i == 0:
				c = p.paint(bold, c)
			}
			if numeric(rows, i) {
				b.WriteString(pad[2:] + c + "  ")
			} else {
				b.WriteString(c + pad)
			}
		}
		tail := []string{fit(oneLine(r[last]), room)}
		if wraps {
			tail = wrap(oneLine(r[last]), room)
		}
		for i, t := range tail {
			if i > 0 {
				b.Reset()
				b.WriteString(strings.Repeat(" ", left))
			}
			if n == 0 {
				t = p.paint(dim, t)
			}
			p.line(b.String() + t)
		}
	}
}

// numeric says whether a column holds only numbers, which stand to the right.
func numeric(rows [][]string, col int) bool {
	some := false
	for _, r := range rows[1:] {
		c := strings.NewReplacer(",", "", "%", "", " ", "").Replace(r[col])
		if c == "" || c == "-" {
			continue
		}
		if _, err := strconv.ParseFloat(c, 64); err != nil {
			return false
		}
		some = true
	}
	return some
}

// pairs prints "name  value" lines, values wrapped below each other.
func (p *page) pairs(rows [][2]string) {
	w := 0
	for _, r := range rows {
		w = max(w, cells(r[0]))
	}
	for _, r := range rows {
		p.pair(r[0], r[1], w, dim)
	}
}

func (p *page) pair(name, value string, w int, style string) {
	for i, l := range wrap(value, max(20, p.width-w-5)) {
		if i > 0 {
			name = ""
		}
		p.line("  " + p.paint(style, name) + strings.Repeat(" ", w-cells(name)+2) + l)
	}
}

// rule is a heading with a line to the right margin.
func (p *page) rule(title string) {
	n := max(3, min(p.width, 100)-cells(title)-1)
	p.line(p.paint(bold, title) + " " + p.paint(dim, strings.Repeat("─", n)))
}

// cells is the width of s on a terminal.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts s to n cells.
func fit(s string, n int) string {
	if cells(s) <= n {
		return s
	}
	if n <= 0 {
		return ""
	}
	used := 0
	for i, r := range s {
		if used += runeCells(r); used > n-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// wrap breaks text into lines of n cells, between words where possible. Line
// breaks of the text stay; control characters become visible.
func wrap(s string, n int) []string {
	var out []string
	for _, para := range strings.Split(visible(s), "\n") {
		for cells(para) > n {
			cut, used, space := 0, 0, 0
			for i, r := range para {
				if r == ' ' && used > n/3 {
					space = i
				}
				if used += runeCells(r); used > n {
					break
				}
				cut = i + len(string(r))
			}
			if space > 0 && cut < len(para) && para[cut] != ' ' {
				cut = space
			}
			if cut == 0 {
				break
			}
			out = append(out, strings.TrimRight(para[:cut], " "))
			para = strings.TrimLeft(para[cut:], " ")
		}
		out = append(out, para)
	}
	return out
}

// visible makes control characters and escape sequences harmless and seen.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r == '\r':
			return -1
		case r < ' ':
			return 0x2400 + r
		case r == 0x7f || r >= 0x80 && r < 0xa0:
			return '\u2421'
		}
		return r
	}, s)
}

func oneLine(s string) string { return strings.Join(strings.Fields(visible(s)), " ") }

// count writes a number with thousands separated.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// rowsText is "1 row" or "7,473 rows".
func rowsText(n int) string {
	if n == 1 {
		return "1 row"
	}
	return count(n) + " rows"
}

func sizeText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
