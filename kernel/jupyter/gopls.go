//go:build unix

package jupyter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"ftlab/kernel/internal/gopls"
)

// lookTimeout is how long a front end waits for a completion at most: longer, and the
// next key has been pressed.
const lookTimeout = 10 * time.Second

// looker completes and inspects Go with a gopls of the kernel's own, which is warm when
// it is asked first. It sees the declarations of the session and the cell being typed.
type looker struct {
	program, dir string
	log          io.Writer

	ask     sync.Mutex // held from the change of the file to the answer
	mu      sync.Mutex
	starts  int
	ready   chan struct{} // closed when client or err is set
	client  *gopls.Client
	err     error
	stopped bool
}

// findGopls returns the program, or "".
func findGopls() string {
	path, err := exec.LookPath("gopls")
	if err != nil {
		return ""
	}
	return path
}

// startLooker starts gopls on a scratch module that imports Config.Root's, in a folder that is kept: what gopls remembers of it is good for the next
// kernel, too.
func startLooker(program string, cfg Config) (*looker, error) {
	dir, err := scratch(cfg.Cache, cfg.Root, cfg.Imports)
	if err != nil {
		return nil, err
	}
	l := &looker{program: program, dir: dir, log: cfg.Log, ready: make(chan struct{})}
	go func() {
		l.start(l.ready)
		time.Sleep(warmAfter) // what is asked now comes first
		for _, path := range cfg.Imports {
			l.warm(path)
		}
	}()
	return l, nil
}

// warmAfter is when the packages that cells often import are looked into.
const warmAfter = 3 * time.Second

// warm has gopls read a package, which takes it half a second the first time.
func (l *looker) warm(path string) {
	l.ask.Lock()
	defer l.ask.Unlock()
	ctx, stop := context.WithTimeout(context.Background(), lookTimeout)
	defer stop()
	c, err := l.get(ctx)
	if err != nil || c.Update(fmt.Sprintf("package main\n\nimport p %q\n\nfunc main() { p.A }\n", path)) != nil {
		return
	}
	c.Complete(ctx, gopls.Position{Line: 4, Character: 17}) // for its effect alone
}

// maxStarts bounds how often gopls is started again.
const maxStarts = 5

func (l *looker) start(ready chan struct{}) {
	defer close(ready)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c, err := gopls.Start(ctx, gopls.Config{Program: l.program, Dir: l.dir, Log: l.log,
		Env: []string{"GOWORK=off", "GOPROXY=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local"}})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.stopped {
		c.Close()
		err = gopls.ErrGone
	}
	if l.err = err; err != nil {
		return
	}
	l.client = c
	// The first question loads what every cell imports: it is asked now.
	const first = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() { fmt.Println(os.Args) }\n"
	if l.err = c.Update(first); l.err == nil {
		_, l.err = c.Complete(ctx, gopls.Position{Line: 7, Character: 22})
	}
}

// close ends gopls.
func (l *looker) close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.client != nil {
		l.client.Close()
	}
}

// get waits until gopls is warm. One that has ended is started again, for the next
// question.
func (l *looker) get(ctx context.Context) (*gopls.Client, error) {
	l.mu.Lock()
	ready := l.ready
	l.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && l.client.Alive() {
		return l.client, nil
	}
	err := l.err
	if err == nil {
		err = gopls.ErrGone
	}
	if !l.stopped && l.ready == ready && l.starts < maxStarts {
		l.starts++
		l.ready = make(chan struct{})
		go l.start(l.ready)
	}
	return nil, err
}

// scratch makes the module that completions are looked up in. Its go.mod requires what
// the one at root does, in the same versions. A second package imports what cells often
// do: gopls loads it at its start.
func scratch(cache, root string, imports []string) (string, error) {
	name := "plain"
	if root != "" {
		name = strings.Trim(strings.Map(func(r rune) rune {
			if r == '/' || r == '\\' || r == ':' {
				return '_'
			}
			return r
		}, root), "_")
	}
	dir := filepath.Join(cache, "complete", name)
	mod, sum := "module cell\n\ngo 1.26\n", []byte(nil)
	if root != "" {
		data, err := os.ReadFile(filepath.Join(root, "go.mod"))
		if err != nil {
			return "", fmt.Errorf("jupyter: completion: %w", err)
		}
		module, rest, _ := strings.Cut(string(data), "\n")
		module = strings.TrimSpace(strings.TrimPrefix(module, "module"))
		mod = fmt.Sprintf("module cell\n%s\nrequire %s v0.0.0\n\nreplace %s => %q\n", rest, module, module, root)
		if sum, err = os.ReadFile(filepath.Join(root, "go.sum")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("jupyter: completion: %w", err)
		}
	}
	warm := "package warm\n"
	for _, path := range imports {
		warm += fmt.Sprintf("import _ %q\n", path)
	}
	if err := os.MkdirAll(filepath.Join(dir, "warm"), 0o700); err != nil {
		return "", fmt.Errorf("jupyter: completion: %w", err)
	}
	for name, text := range map[string]string{"go.mod": mod, "go.sum": string(sum), "main.go": "package main\n\nfunc main() {}\n", "warm/warm.go": warm} {
		path := filepath.Join(dir, name)
		if have, err := os.ReadFile(path); err == nil && string(have) == text {
			continue
		}
		temporary := fmt.Sprintf("%s.%d", path, os.Getpid()) // other kernels read it
		if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("jupyter: completion: %w", err)
		}
		if err := os.Rename(temporary, path); err != nil {
			return "", fmt.Errorf("jupyter: completion: %w", err)
		}
	}
	return dir, nil
}

// match is a completion as front ends know it: positions in characters.
type match struct {
	Start     int    `json:"start"`
	End       int    `json:"end"`
	Text      string `json:"text"`
	Type      string `json:"type,omitempty"`
	Signature string `json:"signature,omitempty"`
}

// kinds names gopls' kinds of completions as JupyterLab does, which shows an icon of it.
var kinds = map[int]string{2: "function", 3: "function", 5: "property", 6: "instance", 7: "class", 8: "interface", 9: "module", 13: "enum", 14: "keyword", 21: "constant", 22: "class"}

// complete returns what could be written at a byte of a cell.
func (l *looker) complete(ctx context.Context, code string, cursor int, session *ledger) ([]match, error) {
	o, ok := newOverlay(code, cursor, session)
	if !ok {
		return nil, nil
	}
	l.ask.Lock()
	defer l.ask.Unlock()
	c, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.Update(o.text); err != nil {
		return nil, err
	}
	items, err := c.Complete(ctx, gopls.Position(positionOf(o.text, o.into(cursor))))
	if err != nil {
		return nil, err
	}
	var out []match
	for _, it := range items {
		begin := o.back(offsetOf(o.text, lspPosition(it.Range.Start)))
		end := o.back(offsetOf(o.text, lspPosition(it.Range.End)))
		typed := code[begin:max(begin, min(cursor, len(code)))]
		if !strings.HasPrefix(strings.ToLower(it.Text), strings.ToLower(typed)) {
			continue // it only resembles what is typed
		}
		m := match{Start: utf8.RuneCountInString(code[:begin]), End: utf8.RuneCountInString(code[:max(begin, end)]), Text: it.Text, Type: kinds[it.Kind]}
		if strings.HasPrefix(it.Detail, "func") {
			m.Signature = strings.TrimPrefix(it.Detail, "func")
		}
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out, nil
}

// inspect describes what is at a byte of a cell, as Markdown.
func (l *looker) inspect(ctx context.Context, code string, cursor int, session *ledger) (string, error) {
	o, ok := newOverlay(code, cursor, session)
	if !ok {
		return "", nil
	}
	l.ask.Lock()
	defer l.ask.Unlock()
	c, err := l.get(ctx)
	if err != nil {
		return "", err
	}
	if err := c.Update(o.text); err != nil {
		return "", err
	}
	for _, at := range []int{nameAt(code, cursor), calledAt(code, cursor)} { // else the function whose arguments are typed
		if at < 0 {
			continue
		}
		doc, err := c.Hover(ctx, gopls.Position(positionOf(o.text, o.into(at))))
		if doc != "" || err != nil {
			return doc, err
		}
	}
	return "", nil
}

// nameAt is a letter of the name that the cursor is in or behind, or -1.
func nameAt(code string, cursor int) int {
	for _, at := range []int{cursor, cursor - 1} {
		if at >= 0 && at < len(code) && (code[at] == '_' || code[at] >= utf8.RuneSelf || code[at]|0x20 >= 'a' && code[at]|0x20 <= 'z' || code[at] >= '0' && code[at] <= '9') {
			return at
		}
	}
	return -1
}

// calledAt is the last letter of the name of the function whose arguments are at the cursor, or
// -1.
func calledAt(code string, cursor int) int {
	depth := 0
	for i := min(cursor, len(code)) - 1; i >= 0; i-- {
		switch code[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth < 0 {
				return i - 1
			}
		case '\n':
			if depth == 0 {
				return -1
			}
		}
	}
	return -1
}
