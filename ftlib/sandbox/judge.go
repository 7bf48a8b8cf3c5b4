package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Language is what a solution is written in.
type Language string

// The languages that Judge runs.
const (
	Python Language = "python"
	Go     Language = "go"
)

// Case is a run of a whole program: what it reads, and what it must write. Trailing
// white space of lines and of the text does not count.
type Case struct {
	Stdin  string `json:"stdin"`
	Stdout string `json:"stdout"`
}

// Tests are what a solution must pass: Check, or Cases, or both.
type Tests struct {
	Language Language // zero: Python
	// Check is code. In Python it runs behind the solution, in its module, and raises
	// where something is wrong: assert add(1, 2) == 3. In Go it is a file of tests of
	// the solution's package: func TestAdd(t *testing.T).
	Check string
	// Cases are tried one after the other, each in a fresh sandbox, until one fails.
	Cases []Case
}

// Options are how solutions are run. The zero value works.
type Options struct {
	Limits Limits // of the run of each case, and of the check
	Unsafe bool   // see Job.Unsafe
}

// Verdict is what Judge found.
type Verdict struct {
	Passed  bool
	Outcome Outcome
	Reason  string // in words; "" where it passed
	Case    int    // which case failed, from 1; 0: the check, or none
	Runs    []Result
}

var fence = regexp.MustCompile("(?s)```[ \t]*([A-Za-z0-9+#]*)[^\n]*\n(.*?)(?:\n[ \t]*```|\\z)")

// Code is the program in a text: the last fenced block of its language, else the last
// one of none or any, else the whole text.
func Code(language Language, text string) string {
	if i := strings.LastIndex(text, "</think>"); i >= 0 {
		text = text[i+len("</think>"):]
	}
	all := fence.FindAllStringSubmatch(text, -1)
	if all == nil {
		return text
	}
	names := map[Language]string{Python: " python python3 py ", Go: " go golang "}[language]
	for i := len(all) - 1; i >= 0; i-- {
		if name := strings.ToLower(all[i][1]); name != "" && strings.Contains(names, " "+name+" ") {
			return all[i][2]
		}
	}
	return all[len(all)-1][2]
}

// Judge runs a solution against tests and says whether it passed them all, or why not.
// An error is not the solution's fault: no sandbox, no interpreter, a context that
// ended.
func Judge(ctx context.Context, code string, tests Tests, o Options) (Verdict, error) {
	if tests.Check == "" && len(tests.Cases) == 0 {
		return Verdict{}, errors.New("sandbox: no tests: set Check or Cases")
	}
	if err := Available(); err != nil && !o.Unsafe {
		return Verdict{}, err
	}
	switch tests.Language {
	case "", Python:
		return judgePython(ctx, code, tests, o)
	case Go:
		return judgeGo(ctx, code, tests, o)
	}
	return Verdict{}, fmt.Errorf("sandbox: unknown language %q: python or go", tests.Language)
}

// cases runs a program on every case until one fails.
func cases(ctx context.Context, job Job, all []Case, v *Verdict) error {
	for i, c := range all {
		job.Stdin = c.Stdin
		r, err := Run(ctx, job)
		if err != nil {
			return err
		}
		v.Runs = append(v.Runs, r)
		if r.Outcome == OK && trimmed(r.Stdout) != trimmed(c.Stdout) {
			r.Outcome, r.Reason = Wrong, fmt.Sprintf("wrote %q, not %q", short(r.Stdout), short(c.Stdout))
		}
		if r.Outcome != OK {
			v.Outcome, v.Reason, v.Case = r.Outcome, r.Reason, i+1
			return nil
		}
	}
	v.Passed, v.Outcome = true, OK
	return nil
}

func trimmed(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t\r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func short(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return s
}

// harness runs a solution and then its check in one module. What says that the end was
// reached comes from standard input before the solution runs: a solution that exits
// early, even with 0, never gets there.
const harness = `import sys
def _run():
    word = sys.stdin.readline().strip()
    out = sys.stdout
    space = {"__name__": "__main__"}
    for name in ("solution.py", "check.py"):
        with open(name) as f:
            source = f.read()
        exec(compile(source, name, "exec"), space)
    out.write("\n" + word + "\n")
    out.flush()
_run()
`

func judgePython(ctx context.Context, code string, tests Tests, o Options) (v Verdict, err error) {
	python, err := findPython()
	if err != nil {
		return v, err
	}
	job := Job{
		Files: map[string]string{"solution.py": code}, Args: []string{python.path, "-I", "-B", "solution.py"}, Read: python.read,
		Env: []string{"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1"}, Limits: o.Limits, Unsafe: o.Unsafe,
	}
	if tests.Check != "" {
		word := rand.Text()
		check := job
		check.Files = map[string]string{"solution.py": code, "check.py": tests.Check, "run.py": harness}
		check.Args = []string{python.path, "-I", "-B", "run.py"}
		check.Stdin = word + "\n"
		r, err := Run(ctx, check)
		if err != nil {
			return v, err
		}
		v.Runs = append(v.Runs, r)
		last := lastLine(r.Stderr)
		switch {
		case r.Outcome == Exit && strings.HasPrefix(last, "AssertionError"):
			v.Outcome, v.Reason = Wrong, last
		case r.Outcome == Exit && (strings.HasPrefix(last, "SyntaxError") || strings.HasPrefix(last, "IndentationError") || strings.HasPrefix(last, "TabError")):
			v.Outcome, v.Reason = Compile, last
		case r.Outcome == OK && lastLine(r.Stdout) != word:
			v.Outcome, v.Reason = Exit, "exited before the tests were done"
		default:
			v.Outcome, v.Reason = r.Outcome, r.Reason
		}
		if v.Outcome != OK {
			return v, nil
		}
	}
	return v, cases(ctx, job, tests.Cases, &v)
}

// compileLimits are those of the Go compiler, which needs more than a solution.
var compileLimits = Limits{
	Wall: 2 * time.Minute, CPU: time.Minute, Memory: 2 << 30, Address: 16 << 30, FileSize: 256 << 20, Disk: 512 << 20, Processes: 256, Files: 1024,
}

func judgeGo(ctx context.Context, code string, tests Tests, o Options) (v Verdict, err error) {
	tool, err := findGo(ctx)
	if err != nil {
		return v, err
	}
	out, err := os.MkdirTemp("", "ftlab-go-")
	if err != nil {
		return v, fmt.Errorf("sandbox: %w", err)
	}
	defer os.RemoveAll(out)
	// The compiler runs as nobody where root runs this.
	if err := os.Chmod(out, 0o777); err != nil {
		return v, fmt.Errorf("sandbox: %w", err)
	}
	limits := o.Limits
	if limits.Address == 0 { // Go reserves more than it uses
		limits.Address = limits.filled().Memory + 2<<30
	}
	program := filepath.Join(out, "program")
	build := func(files map[string]string, args ...string) (bool, error) {
		files["go.mod"] = "module solution\n\ngo 1.21\n"
		r, err := Run(ctx, Job{
			Files: files, Args: append([]string{tool.path}, args...), Read: tool.read, Write: []string{out}, Layer: []string{tool.cache},
			Env:    []string{"CGO_ENABLED=0", "GOPROXY=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local", "GOTELEMETRY=off", "GOENV=off", "GOCACHE=" + tool.cache, "GOPATH=/job/.go", "GOMAXPROCS=2", "GOROOT=" + tool.root},
			Limits: compileLimits, Unsafe: o.Unsafe,
		})
		if err != nil {
			return false, err
		}
		v.Runs = append(v.Runs, r)
		if r.Outcome != OK {
			v.Outcome, v.Reason = Compile, strings.TrimSpace(tailOf(r.Stderr+r.Stdout, 1000))
			if r.Outcome != Exit {
				v.Reason = r.Reason
			}
			return false, nil
		}
		return true, nil
	}
	job := Job{Read: []string{out}, Args: []string{program}, Env: []string{"GOMAXPROCS=2", "GOTRACEBACK=single"}, Limits: limits, Unsafe: o.Unsafe}
	if tests.Check != "" {
		done, err := build(map[string]string{"solution.go": code, "check_test.go": tests.Check}, "test", "-c", "-vet=off", "-o", program, ".")
		if err != nil || !done {
			return v, err
		}
		check := job
		check.Args = []string{program, "-test.paniconexit0", "-test.v"}
		r, err := Run(ctx, check)
		if err != nil {
			return v, err
		}
		v.Runs = append(v.Runs, r)
		switch {
		case r.Outcome == Exit && strings.Contains(r.Stdout, "--- FAIL"):
			v.Outcome, v.Reason = Wrong, short(r.Stdout[strings.Index(r.Stdout, "--- FAIL"):])
		case r.Outcome == OK && (lastLine(r.Stdout) != "PASS" || !strings.Contains(r.Stdout, "--- PASS")):
			v.Outcome, v.Reason = Exit, "exited before the tests were done"
		default:
			v.Outcome, v.Reason = r.Outcome, r.Reason
		}
		if v.Outcome != OK {
			return v, nil
		}
	}
	if len(tests.Cases) > 0 {
		done, err := build(map[string]string{"solution.go": code}, "build", "-o", program, ".")
		if err != nil || !done {
			return v, err
		}
	}
	return v, cases(ctx, job, tests.Cases, &v)
}
