//go:build unix

package jupyter

import (
	"encoding/json"
	"strings"
	"sync"
)

// output sorts what a cell sends while it runs: what belongs to its error is held
// back, to go into the one message that tells of it.
type output struct {
	mu     sync.Mutex
	crash  strings.Builder // stderr from the first line of a crash on
	stream []*Message      // the messages it came in
	exit   []*Message      // what gonb says of the way the cell ended
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
		return true
	}
	var s struct{ Name, Text string }
	if json.Unmarshal(m.Content, &s) != nil || s.Name != "stderr" {
		return true
	}
	if exited.MatchString(s.Text) {
		o.exit = append(o.exit, m)
		return false
	}
	begin := 0
	if o.crash.Len() == 0 {
		at := crash.FindStringIndex(s.Text)
		if at == nil {
			return true
		}
		begin = at[0]
	}
	o.crash.WriteString(s.Text[begin:])
	held := *m
	held.Content = streamText(s.Text[begin:])
	o.stream = append(o.stream, &held)
	m.Content = streamText(s.Text[:begin])
	return begin > 0
}

func streamText(text string) json.RawMessage {
	data, _ := json.Marshal(map[string]string{"name": "stderr", "text": text}) // strings always can be
	return data
}

// held returns what was held back: as text, and as messages.
func (o *output) held() (string, []*Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.crash.String(), o.stream
}
