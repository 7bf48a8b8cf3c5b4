//go:build unix

package acceptance

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"ftlab/kernel/jupyter"
)

// Request is one that a kernel answers, with all that has come about it.
type Request struct {
	ID, Kind string

	k       *Kernel
	changed chan struct{}

	mu    sync.Mutex
	reply map[string]any
	kinds []string // of the messages on iopub, in their order; statuses by their state
	text  strings.Builder
	last  string // the last text
	bytes int    // of all text
	fault map[string]any
	idle  bool
}

// keep bounds the text that is kept of a request.
const keep = 1 << 20

func (r *Request) got(on string, m *jupyter.Message) {
	var content map[string]any
	if err := json.Unmarshal(m.Content, &content); err != nil {
		r.k.t.Errorf("acceptance: %s: %v", m.Head.Type, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := m.Head.Type
	switch {
	case on != "iopub":
		r.reply = content
	case kind == "status":
		kind, _ = content["execution_state"].(string)
		r.idle = r.idle || kind == "idle"
		r.kinds = append(r.kinds, kind)
	default:
		r.kinds = append(r.kinds, kind)
		text, _ := content["text"].(string)
		if data, ok := content["data"].(map[string]any); ok {
			text, _ = data["text/plain"].(string)
		}
		if kind == "error" {
			r.fault = content
			text = fmt.Sprint(content["traceback"])
		}
		r.bytes += len(text)
		r.last = text
		if r.text.Len() < keep {
			r.text.WriteString(text)
		}
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// waitFor waits until something is so, which is asked with r locked.
func (r *Request) waitFor(longest time.Duration, so func() bool) bool {
	end := time.After(longest)
	for {
		r.mu.Lock()
		ok := so()
		r.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-r.changed:
		case <-end:
			return false
		}
	}
}

func (r *Request) must(what string, so func() bool) {
	r.k.t.Helper()
	if !r.waitFor(2*patience, so) {
		r.k.t.Fatalf("acceptance: %s %s: no %s; so far %v, reply %v, text %q", r.Kind, r.ID, what, r.kinds, r.reply, r.text.String())
	}
}

// Done waits for the reply and for all output.
func (r *Request) Done() {
	r.k.t.Helper()
	r.must("reply and idle", func() bool { return r.idle && r.reply != nil })
}

// Replied waits for the reply alone.
func (r *Request) Replied() {
	r.k.t.Helper()
	r.must("reply", func() bool { return r.reply != nil })
}

// Says waits until the output holds a text.
func (r *Request) Says(text string) {
	r.k.t.Helper()
	r.must("output "+strconv.Quote(text), func() bool { return strings.Contains(r.text.String(), text) })
}

// Reply is the reply that has come.
func (r *Request) Reply() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reply
}

// Status of the reply: ok, error or aborted.
func (r *Request) Status() string { return fmt.Sprint(r.Reply()["status"]) }

// Fault is the content of the error message, or nil.
func (r *Request) Fault() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault
}

// Text is the beginning of all output so far: streams, results and traces.
func (r *Request) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// Last is the last piece of it.
func (r *Request) Last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Bytes counts all of it.
func (r *Request) Bytes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// Kinds are the messages on iopub, without streams that follow a stream.
func (r *Request) Kinds() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, kind := range r.kinds {
		if kind != "stream" || len(out) == 0 || out[len(out)-1] != "stream" {
			out = append(out, kind)
		}
	}
	return strings.Join(out, " ")
}

func randomWord() string { return rand.Text() }

func itoa(n int) string { return strconv.Itoa(n) }
