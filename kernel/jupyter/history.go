//go:build unix

package jupyter

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

// History keeps what was executed, of all sessions, in one file of JSON lines. A line
// is written in one piece below a lock: kernels share the file.
type History struct {
	path    string
	session int
}

// entry is a line of the file.
type entry struct {
	Session int    `json:"session"`
	Line    int    `json:"line"` // execution count; 0 marks the start of a session
	Input   string `json:"input"`
}

// OpenHistory starts a session in the file, which is made if it is missing.
func OpenHistory(path string) (*History, error) {
	h := &History{path: path}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("jupyter: history: %w", err)
	}
	err := h.locked(func(f *os.File) error {
		for _, e := range read(f) {
			h.session = max(h.session, e.Session)
		}
		h.session++
		return appendLine(f, entry{Session: h.session})
	})
	if err != nil {
		return nil, fmt.Errorf("jupyter: history: %w", err)
	}
	return h, nil
}

// Add appends a cell to the session.
func (h *History) Add(line int, input string) error {
	err := h.locked(func(f *os.File) error { return appendLine(f, entry{h.session, line, input}) })
	if err != nil {
		return fmt.Errorf("jupyter: history: %w", err)
	}
	return nil
}

func (h *History) locked(do func(*os.File) error) error {
	f, err := os.OpenFile(h.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	return do(f)
}

func appendLine(f *os.File, e entry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	// A write that a full disk cut short left a line without its end.
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			data = append([]byte{'\n'}, data...)
		}
	}
	_, err = f.Write(append(data, '\n'))
	return err
}

// read returns the lines that can be read; a damaged one is left out.
func read(f *os.File) []entry {
	data, err := os.ReadFile(f.Name())
	if err != nil {
		return nil
	}
	var out []entry
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(nil, len(data)+1)
	for scan.Scan() {
		var e entry
		if json.Unmarshal(scan.Bytes(), &e) == nil {
			out = append(out, e)
		}
	}
	return out
}

// HistoryRequest is the content of a history_request.
type HistoryRequest struct {
	Output  bool   `json:"output"`
	Access  string `json:"hist_access_type"` // tail, range or search
	Session int    `json:"session"`          // of range: 0 is this session, negative counts back
	Start   int    `json:"start"`            // of range, first line
	Stop    int    `json:"stop"`             // of range, line after the last; 0: to the end
	N       int    `json:"n"`                // of tail and search: the last so many; 0: all
	Pattern string `json:"pattern"`          // of search: as of the shell, with * and ?
	Unique  bool   `json:"unique"`           // of search
}

// Find answers a request with triples of session, line and input (or, when output is
// asked for, input and output: outputs are not kept, it is null).
func (h *History) Find(r HistoryRequest) ([][3]any, error) {
	var all []entry
	if err := h.locked(func(f *os.File) error { all = read(f); return nil }); err != nil {
		return nil, fmt.Errorf("jupyter: history: %w", err)
	}
	session := r.Session
	if session <= 0 {
		session += h.session
	}
	keep := func(e entry) bool { return e.Line > 0 }
	switch r.Access {
	case "tail":
	case "range":
		keep = func(e entry) bool {
			return e.Line > 0 && e.Session == session && e.Line >= r.Start && (r.Stop == 0 || e.Line < r.Stop)
		}
	case "search":
		keep = func(e entry) bool { return e.Line > 0 && (r.Pattern == "" || globMatch(r.Pattern, e.Input)) }
	default:
		return nil, fmt.Errorf("jupyter: history: hist_access_type %q; tail, range and search are known", r.Access)
	}
	found := slices.DeleteFunc(all, func(e entry) bool { return !keep(e) })
	if r.Access == "search" && r.Unique {
		found = unique(found)
	}
	if r.Access != "range" && r.N > 0 && len(found) > r.N {
		found = found[len(found)-r.N:]
	}
	out := make([][3]any, len(found))
	for i, e := range found {
		out[i] = [3]any{e.Session, e.Line, e.Input}
		if r.Output {
			out[i][2] = [2]any{e.Input, nil}
		}
	}
	return out, nil
}

// unique keeps the last of equal inputs.
func unique(in []entry) []entry {
	seen := map[string]bool{}
	var out []entry
	for _, e := range slices.Backward(in) {
		if !seen[e.Input] {
			seen[e.Input] = true
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out
}

// globMatch matches a whole input; unlike in a path, * also spans / and lines.
func globMatch(pattern, s string) bool {
	swap := func(s string) string { return string(bytes.ReplaceAll([]byte(s), []byte("/"), []byte{0})) }
	ok, err := path.Match(swap(pattern), swap(s))
	return err == nil && ok
}
