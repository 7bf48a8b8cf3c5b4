//go:build unix

package jupyter

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Magic is a line that begins with % and a name, which the kernel understands beside
// gonb's own; or a cell that begins with %% and a name.
type Magic struct {
	Name string // as it is typed: %ft or %%ft
	Use  string // what follows the name
	Help string // one line
	Doc  string // Markdown, for whoever asks what it is; zero: Help
	// Run does it. What it returns is a command for the shell, which runs where cells do
	// and whose failure is the cell's; "" for none.
	Run func(ctx context.Context, call Call) (shell string, err error)
	// Complete returns the words that could be at the end of a line, the name taken off; dir
	// is where cells run.
	// Zero: none.
	Complete func(line, dir string) []string
}

// Call is one use of a magic.
type Call struct {
	Line string // behind the name
	Body string // of a cell magic: the lines below
	Dir  string // where cells run
	Temp string // folder for files that the shell command reads; it is removed with the kernel
	// Show draws in the cell: text, and HTML where it is not "".
	Show func(text, html string)
}

// gonbMagics are gonb's, by name.
var gonbMagics = map[string]string{
	"%main": "what follows is the body of main", "%args": "arguments of the program", "%exec": "run a function of the session",
	"%test": "run the cell's tests and benchmarks", "%wasm": "compile for the browser", "%widgets": "gonb's own widgets",
	"%widgets_hb": "test gonb's own widgets", "%env": "set a variable: NAME VALUE", "%cd": "change the folder",
	"%goflags": "flags of go build", "%autoget": "run go get before building", "%noautoget": "do not run go get",
	"%version": "gonb's version", "%reset": "forget all declarations", "%ls": "list the declarations", "%list": "list the declarations",
	"%rm": "forget declarations", "%remove": "forget declarations", "%with_inputs": "the next ! command may ask for input",
	"%with_password": "the next ! command may ask for a password", "%track": "follow a Go file that is being edited",
	"%untrack": "stop following", "%goworkfix": "make go.mod agree with go.work", "%capture": "copy the cell's output to a file",
	"%%writefile": "write the cell to a file", "%%script": "the cell is a program's input", "%%bash": "the cell is a script of bash",
	"%%sh": "the cell is a script of sh", "%%gx": "the cell is Go+ (gx)",
}

// own are the magics of the kernel itself, with those of the Config.
func (k *Kernel) own() []Magic {
	return append(slices.Clone(k.cfg.Magics),
		Magic{Name: "%time", Use: "[STATEMENT]", Help: "how long the statement, or the whole cell, takes to build and to run", Run: func(context.Context, Call) (string, error) { return "", nil }},
		Magic{Name: "%help", Help: "this list", Run: func(_ context.Context, c Call) (string, error) { c.Show(k.help()); return "", nil }})
}

func (k *Kernel) findMagic(name string) *Magic {
	for _, m := range k.own() {
		if m.Name == name {
			return &m
		}
	}
	return nil
}

// known are the names of all magics.
func (k *Kernel) known() []string {
	names := slices.Collect(maps.Keys(gonbMagics))
	for _, m := range k.own() {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names
}

// help describes cells and magics, as text and as HTML.
func (k *Kernel) help() (string, string) {
	var text, html strings.Builder
	row := func(name, help string) {
		fmt.Fprintf(&text, "  %-24s %s\n", name, help)
		fmt.Fprintf(&html, "<tr><td style=\"text-align:left\"><code>%s</code></td><td style=\"text-align:left\">%s</td></tr>", escape(name), escape(help))
	}
	head := func(s string) {
		fmt.Fprintf(&text, "%s\n", s)
		fmt.Fprintf(&html, "<tr><th colspan=\"2\" style=\"text-align:left\">%s</th></tr>", escape(s))
	}
	html.WriteString("<table>")
	head("A cell is Go: declarations, which later cells have too, or statements, whose last expression is shown.")
	for _, m := range k.own() {
		row(strings.TrimSpace(m.Name+" "+m.Use), m.Help)
	}
	head("Of gonb:")
	row("!COMMAND", "run a command of the shell; !* where the cells are built")
	row("!*go get MODULE@VERSION", "let the cells import a module, from the network")
	row("%%", "what follows is the body of main")
	for _, name := range slices.Sorted(maps.Keys(gonbMagics)) {
		row(name, gonbMagics[name])
	}
	html.WriteString("</table>")
	return text.String(), html.String()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;").Replace(s)
}

// ProxyEnv names the variable with the user's own GOPROXY, where cells are built with
// another one: the network is for "!*go get MODULE" alone.
const ProxyEnv = "FTLAB_GOPROXY"

// magics is what a cell's lines of magic come to.
type magics struct {
	code  string // for gonb; as many lines as were typed
	shell bool   // a magic became a command of the shell
	timed bool
	fail  *failure
}

// doMagic does the kernel's own magics of a cell, in their order.
func (k *Kernel) doMagic(m *Message, code string, call Call) magics {
	out := magics{code: code}
	c := scan(code)
	if len(c.magic) == 0 {
		return out
	}
	ctx, stop := context.WithCancel(k.ctx)
	defer stop()
	k.stopMagic.Store(&stop)
	defer k.stopMagic.Store(nil)
	lines := strings.Split(code, "\n")
	if strings.HasPrefix(code, "%%") && c.whole {
		c.magic = c.magic[:1] // what is below is not for us to read
	}
	// First all names: nothing is done of a cell that has a wrong one.
	var words []string
	for _, i := range c.magic {
		word, _, _ := strings.Cut(strings.TrimSpace(lines[i]), " ")
		words = append(words, word)
		continued := i > 0 && strings.HasSuffix(strings.TrimRight(lines[i-1], "\r"), `\`) && slices.Contains(c.magic, i-1)
		if continued || !strings.HasPrefix(word, "%") || len(word) == 1 || word == "%%" || slices.Contains(k.known(), word) {
			continue
		}
		if i > 0 && strings.HasPrefix(word, "%%") && (k.findMagic(word) != nil || gonbMagics[word] != "") {
			continue // gonb says that it must come first
		}
		text := fmt.Sprintf("unknown magic %s%s; %%help lists them", word, nearest(word, k.known()))
		typed := map[int]source{0: {count: k.count, lines: lines, from: []int{i}}}
		out.fail = &failure{"MagicError", text, []string{"MagicError: " + text + "\n" + place("0", "1", typed)}}
		return out
	}
	for n, i := range c.magic {
		magic := k.findMagic(words[n])
		if magic == nil {
			if strings.HasPrefix(words[n], "%") {
				k.ledger.followMagic(lines[i])
			}
			if get, ok := strings.CutPrefix(lines[i], "!*go get "); ok {
				lines[i] = `!*GOPROXY="${` + ProxyEnv + `-$GOPROXY}" go get ` + get
			}
			continue
		}
		one := call
		one.Line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines[i]), words[n]))
		lines[i] = ""
		if strings.HasPrefix(words[n], "%%") {
			if i > 0 {
				text := words[n] + " must be the first line of its cell"
				out.fail = &failure{"MagicError", text, []string{"MagicError: " + text}}
				return out
			}
			one.Body = strings.Join(lines[1:], "\n")
			for j := range lines {
				lines[j] = ""
			}
		}
		if words[n] == "%time" {
			out.timed, lines[i] = true, one.Line
			continue
		}
		shell, err := magic.Run(ctx, one)
		if err != nil {
			out.fail = &failure{"MagicError", err.Error(), []string{words[n] + ": " + err.Error()}}
			if k.interrupted.Load() {
				out.fail = wasInterrupted()
			}
			return out
		}
		if shell != "" {
			lines[i], out.shell = "!"+shell, true
		}
	}
	out.code = strings.Join(lines, "\n")
	return out
}

// nearest proposes a name that differs little.
func nearest(word string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance counts the letters to insert, to take out or to change; two that are swapped
// count as one.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// times says how long a cell took: gonb has written the program when it was built.
func times(dir string, began, ended time.Time) string {
	all := ended.Sub(began).Seconds()
	programs, _ := filepath.Glob(filepath.Join(dir, "gonb_*", "gonb_*"))
	for _, p := range programs {
		if info, err := os.Stat(p); err == nil && info.ModTime().After(began) {
			build := info.ModTime().Sub(began).Seconds()
			return fmt.Sprintf("build %.3f s, run %.3f s, all %.3f s\n", build, all-build, all)
		}
	}
	return fmt.Sprintf("all %.3f s\n", all)
}

// lookAtMagic answers for a line of magic; nil if the cursor is not in one.
func (k *Kernel) lookAtMagic(code string, at int, kind string) any {
	begin := strings.LastIndexByte(code[:at], '\n') + 1
	line := code[begin:at]
	whole, _, _ := strings.Cut(code[begin:], "\n")
	if !strings.HasPrefix(whole, "%") {
		return nil
	}
	word, _, more := strings.Cut(line, " ")
	characters := func(b int) int { return utf8.RuneCountInString(code[:b]) }
	if kind == "inspect_reply" {
		name, _, _ := strings.Cut(strings.TrimSpace(whole), " ")
		if m := k.findMagic(name); m != nil {
			doc := "`" + strings.TrimSpace(m.Name+" "+m.Use) + "`: " + m.Help
			if m.Doc != "" {
				doc += "\n\n" + m.Doc
			}
			return inspected(doc)
		}
		if help := gonbMagics[name]; help != "" {
			return inspected("`" + name + "`: " + help + " (gonb)")
		}
		return inspected("")
	}
	var names []string
	start := begin
	if !more {
		names = k.known()
	} else if m := k.findMagic(word); m != nil && m.Complete != nil {
		names = m.Complete(line[len(word)+1:], k.folder())
		start = at - len(line) + strings.LastIndexByte(line, ' ') + 1
	}
	found := []match{}
	for _, n := range names {
		if strings.HasPrefix(n, code[start:at]) {
			found = append(found, match{Start: characters(start), End: characters(at), Text: n, Type: "magic"})
		}
	}
	return completed(found, characters(at))
}
