//go:build unix

package jupyter

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// maxOutput is how much text of a cell is shown, in bytes: Jupyter's server lets no more
// than that through in a few seconds, and a notebook with more is no use to anybody.
// keptTail of what is cut is shown when the cell has ended.
const (
	maxOutput = 2 << 20
	keptTail  = 4 << 10
)

// output sorts what a cell sends while it runs: what belongs to its error is held
// back, to go into the one message that tells of it, and what is too much is cut.
type output struct {
	mute bool // nothing passes

	mu     sync.Mutex
	crash  strings.Builder // stderr from the first line of a crash on
	stream []*Message      // the messages it came in
	exit   []*Message      // what gonb says of the way the cell ended
	shown  int             // bytes of text that passed
	cut    int             // bytes that did not
	tail   string          // the last of them
	last   string          // end of what came on stderr

	// Pieces of text that come one after the other go as one message: a table can be a
	// hundred of them.
	publish func(*Message)
	pending *Message
	name    string
	text    []byte
	timer   *time.Timer
}

// together is how long text waits for more of it.
const together = 20 * time.Millisecond

// maxTogether is how much text waits, in bytes.
const maxTogether = 64 << 10

// deliver sends on what passes. Text waits a moment for what comes behind it.
func (o *output) deliver(m *Message) {
	if !o.pass(m) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var s struct{ Name, Text string }
	if m.Head.Type != "stream" || json.Unmarshal(m.Content, &s) != nil {
		o.flush()
		o.publish(m)
		return
	}
	if o.pending != nil && o.name != s.Name {
		o.flush()
	}
	if o.pending == nil {
		o.pending, o.name = m, s.Name
		o.timer = time.AfterFunc(together, func() { o.mu.Lock(); defer o.mu.Unlock(); o.flush() })
	}
	if o.text = append(o.text, s.Text...); len(o.text) > maxTogether {
		o.flush()
	}
}

// flush sends the text that waits. The caller holds the lock.
func (o *output) flush() {
	if o.pending == nil {
		return
	}
	o.timer.Stop()
	o.pending.Content = streamText(o.name, string(o.text))
	o.publish(o.pending)
	o.pending, o.text = nil, nil
}

// pass says whether a message goes on to the front end now.
func (o *output) pass(m *Message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch m.Head.Type {
	case "status", "execute_input", "error": // the kernel sends its own
		return false
	case "stream":
	default:
		return !o.mute
	}
	var s struct{ Name, Text string }
	if json.Unmarshal(m.Content, &s) != nil {
		return !o.mute
	}
	if s.Name != "stderr" {
		return o.bound(m, s.Name, s.Text)
	}
	if exited.MatchString(s.Text) {
		o.exit = append(o.exit, m)
		return false
	}
	o.last += s.Text
	o.last = o.last[max(0, len(o.last)-keptTail):]
	begin := 0
	if o.crash.Len() == 0 {
		at := crash.FindStringIndex(s.Text)
		if at == nil {
			return o.bound(m, s.Name, s.Text)
		}
		begin = at[0]
	}
	if o.crash.Len() < maxOutput {
		o.crash.WriteString(s.Text[begin:])
		held := *m
		held.Content = streamText("stderr", s.Text[begin:])
		o.stream = append(o.stream, &held)
	}
	m.Content = streamText("stderr", s.Text[:begin])
	return begin > 0 && o.bound(m, s.Name, s.Text[:begin])
}

// bound lets pass what is not too much; of a message that is, its beginning.
func (o *output) bound(m *Message, name, text string) bool {
	if o.mute {
		return false
	}
	room := maxOutput - o.shown
	if len(text) <= room {
		o.shown += len(text)
		return true
	}
	for room > 0 && !utf8.RuneStart(text[room]) {
		room--
	}
	o.shown, o.cut = maxOutput, o.cut+len(text)-room
	if rest := text[room:]; len(rest) >= keptTail {
		o.tail = rest[len(rest)-keptTail:]
	} else {
		o.tail += rest
		o.tail = o.tail[max(0, len(o.tail)-keptTail):]
	}
	m.Content = streamText(name, text[:room])
	return room > 0
}

func streamText(name, text string) json.RawMessage {
	return mustJSON(map[string]string{"name": name, "text": text})
}

// finish tells how much was cut, and how commands of the shell ended.
func (o *output) finish(k *Kernel, m *Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	if o.cut > 0 {
		lines := strings.TrimLeftFunc(o.tail, func(r rune) bool { return r == utf8.RuneError })
		if o.cut > len(o.tail) {
			if _, after, ok := strings.Cut(lines, "\n"); ok {
				lines = after
			}
		}
		k.tell(m, "stream", map[string]string{"name": "stdout", "text": fmt.Sprintf(
			"\n[%.1f MB of output are not shown: a cell shows %d MB; write more to a file. It ends with:]\n%s", float64(o.cut-len(lines))/1e6, maxOutput>>20, lines)})
	}
}

// crashed is what the cell wrote from the first line of a crash on.
func (o *output) crashed() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.crash.String()
}

// heldBack are the messages that looked like a crash, and those about commands of the
// shell that failed.
func (o *output) heldBack() []*Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append(o.stream, o.exit...)
}

// failed says whether a command of the shell did.
func (o *output) failed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.exit) > 0
}

// lastLine is the last line that came on stderr, else how the command ended.
func (o *output) lastLine() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(colours.ReplaceAllString(o.last, "")), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // the line that names the program, not advice below it
		if strings.HasPrefix(lines[i], "ft: ") {
			return lines[i]
		}
	}
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	var s struct{ Text string }
	json.Unmarshal(o.exit[len(o.exit)-1].Content, &s)
	return strings.TrimSpace(s.Text)
}
