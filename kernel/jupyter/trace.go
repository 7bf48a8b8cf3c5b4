//go:build unix

package jupyter

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// source is a cell as it was typed, for traces.
type source struct {
	count int // the number its user sees
	lines []string
	sent  []string // lines that gonb got
	from  []int    // for each of them, the line typed, from 0
}

// failure is the one error message of a cell, and what the reply repeats of it.
type failure struct {
	Name  string   `json:"ename"`
	Value string   `json:"evalue"`
	Trace []string `json:"traceback"`
}

var (
	compiled  = regexp.MustCompile(`^Cell\[(-?\d+)\]: Line (\d+)\n`)
	location  = regexp.MustCompile(`^.*?main(?:_test)?\.go:\d+:\d+: `)
	annotated = regexp.MustCompile(`[^\S\n]*\x1b\[7m\[\[ Cell \[(\d+)\] Line (\d+) \]\]\x1b\[0m \S*main(?:_test)?\.go:\d+(?: \+0x[0-9a-f]+)?`)
	crash     = regexp.MustCompile(`(?m)^(panic: |fatal error: |runtime: goroutine stack exceeds|SIG[A-Z]+: |unexpected fault)`)
	exited    = regexp.MustCompile(`^(\^C\n)?(exit status \d+|signal: [a-z ]+( \(core dumped\))?)\n$`)
	colours   = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// wasInterrupted is how a cell ends that its user ended.
func wasInterrupted() *failure {
	return &failure{"Interrupted", "the cell was interrupted", []string{"Interrupted: the cell was interrupted"}}
}

// explain makes one failure of what gonb says about a cell: the error of its reply and
// what the cell wrote to stderr from the crash on.
func explain(got failure, stderr string, interrupted bool, cells map[int]source) failure {
	if interrupted {
		return *wasInterrupted()
	}
	if crash.MatchString(stderr) {
		return explainCrash(stderr, cells)
	}
	said := strings.Split(got.Value, "\n")
	var out failure
	for i, entry := range got.Trace {
		entry = colours.ReplaceAllString(entry, "")
		text := entry
		if i < len(said) && len(said) == len(got.Trace) {
			text = said[i]
		}
		m := compiled.FindStringSubmatch(entry)
		text = strings.TrimSpace(location.ReplaceAllString(text, ""))
		if m == nil && (text == "" || strings.HasPrefix(text, "# ") || exited.MatchString(text+"\n") || len(got.Trace) > 1 && strings.HasPrefix(text, "failed to run")) {
			continue
		}
		if m != nil && out.Name == "" {
			out.Name, out.Value = "CompileError", text
		}
		if m == nil {
			out.Trace = append(out.Trace, text)
			continue
		}
		out.Trace = append(out.Trace, text+"\n"+place(m[1], m[2], cells))
	}
	if out.Name == "" {
		out.Name, out.Value = "Error", strings.TrimSpace(colours.ReplaceAllString(got.Value, ""))
		if exited.MatchString(out.Value + "\n") {
			out.Name = "ExitError"
		}
	}
	if len(out.Trace) == 0 {
		out.Trace = []string{out.Value}
	}
	out.Trace[0] = out.Name + ": " + out.Trace[0]
	return out
}

// explainCrash keeps the message and, of the stack, what the cells did.
func explainCrash(stderr string, cells map[int]source) failure {
	stderr = annotate(stderr, cells)
	message, stack, _ := strings.Cut(stderr, "\n\ngoroutine ")
	message = strings.TrimSpace(message)
	if at := strings.Index(message, "fatal error: "); at > 0 { // the runtime's numbers come first
		message = strings.TrimSuffix(message[at:], "[")
	}
	message, _, _ = strings.Cut(message, "\n\nruntime stack:")
	first, _, _ := strings.Cut(message, "\n")
	name, value, _ := strings.Cut(first, ": ")
	out := failure{Name: name, Value: value, Trace: []string{message}}
	if m := annotated.FindStringSubmatch(stderr); m != nil {
		out.Trace[0] += "\n" + place(m[1], m[2], cells)
	}
	if stack == "" {
		return out
	}
	stack = annotated.ReplaceAllStringFunc(stack, func(s string) string {
		m := annotated.FindStringSubmatch(s)
		count, line, _, ok := find(m[1], m[2], cells)
		if !ok {
			return "\tan earlier cell"
		}
		return fmt.Sprintf("\tcell %d, line %d", count, line+1)
	})
	stack = exitLine.ReplaceAllString(stack, "")
	out.Trace = append(out.Trace, shorten("goroutine "+strings.TrimSpace(stack)))
	return out
}

// frame matches what the runtime adds to a place when it gives up.
var frame = regexp.MustCompile(` fp=0x[0-9a-f]+ sp=0x[0-9a-f]+ pc=0x[0-9a-f]+`)

// longest is how many lines of a stack are shown.
const longest = 60

// shorten leaves out goroutines in which no cell is, but for the first, calls that come
// again and again, and what is too much.
func shorten(stack string) string {
	routines := strings.Split(frame.ReplaceAllString(stack, ""), "\n\n")
	routines = slices.DeleteFunc(routines, func(s string) bool { return s != routines[0] && !strings.Contains(s, "\tcell ") })
	lines := strings.Split(strings.Join(routines, "\n\n"), "\n")
	var out []string
	again := 0
	for _, line := range lines {
		place := strings.HasPrefix(line, "\tcell ")
		if n := len(out); place && n >= 4 && out[n-2] == line && callee(out[n-3]) == callee(out[n-1]) {
			out = out[:n-1] // the same call at the same place
			again++
			continue
		}
		if again > 0 && place {
			n := len(out)
			out[n-2] += fmt.Sprintf(" (and %d times more)", again)
			again = 0
		}
		out = append(out, line)
	}
	if cut := len(out) - longest; cut > 0 {
		out = append(out[:longest], fmt.Sprintf("... and %d lines more", cut))
	}
	return strings.Join(out, "\n")
}

// callee is the function of a line of a stack, without its arguments.
func callee(line string) string {
	if at := strings.LastIndexByte(line, '('); at > 0 {
		return line[:at]
	}
	return line
}

var exitLine = regexp.MustCompile(`(?m)^(exit status \d+|signal: .*)\n?`)

// bare matches a place in the program that gonb has composed of the cells.
var bare = regexp.MustCompile(`(\x1b\[7m\[\[ Cell \[\d+\] Line \d+ \]\]\x1b\[0m )?(/\S*/main(?:_test)?\.go):(\d+)`)

// annotate names cells and lines where gonb has not: Go writes a stack in pieces, and
// gonb misses a place that comes in two. The line is looked up in the program, and its
// text in the cells, the latest first.
func annotate(stack string, cells map[int]source) string {
	return bare.ReplaceAllStringFunc(stack, func(place string) string {
		m := bare.FindStringSubmatch(place)
		program, err := os.ReadFile(m[2])
		n, _ := strconv.Atoi(m[3])
		lines := strings.Split(string(program), "\n")
		if m[1] != "" || err != nil || n < 1 || n > len(lines) {
			return place
		}
		want := strings.TrimSpace(lines[n-1])
		for _, id := range slices.Backward(slices.Sorted(maps.Keys(cells))) {
			for i, line := range cells[id].sent {
				if want != "" && strings.TrimSpace(line) == want {
					return fmt.Sprintf("\x1b[7m[[ Cell [%d] Line %d ]]\x1b[0m %s", id, i+1, place)
				}
			}
		}
		return place
	})
}

// find translates gonb's cell and line, from 1, to the line typed, from 0.
func find(cell, line string, cells map[int]source) (count, at int, s source, ok bool) {
	id, _ := strconv.Atoi(cell)
	n, _ := strconv.Atoi(line)
	s, ok = cells[id]
	if !ok || n < 1 || len(s.from) == 0 {
		return 0, 0, s, false
	}
	return s.count, s.from[min(n, len(s.from))-1], s, true
}

// place shows the line of a cell and its neighbours.
func place(cell, line string, cells map[int]source) string {
	count, at, s, ok := find(cell, line, cells)
	if !ok {
		return "  in a cell that is gone"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "  cell %d, line %d:", count, at+1)
	for i := max(0, at-1); i <= min(len(s.lines)-1, at+1); i++ {
		mark := "   "
		if i == at {
			mark = "-->"
		}
		fmt.Fprintf(&out, "\n  %s %3d  %s", mark, i+1, s.lines[i])
	}
	return out.String()
}
