//go:build unix

package jupyter

import (
	"encoding/json"
	"strings"
	"sync"
)

// Comms are the comms of the kernel itself: those whose target begins with
// "jupyter.widget". Others are gonb's.
type Comms interface {
	// Attach gives the way to the front ends, before any other call. parent is the
	// message that is answered, as Handle's reply does by itself; "" is the cell that
	// runs, if one does.
	Attach(send func(parent, msgType string, content, metadata any, buffers [][]byte) error)
	// Handle takes a comm_open, comm_msg or comm_close of a front end. Calls come one
	// after another. reply answers on the channel that all front ends hear.
	Handle(msgType string, content, metadata json.RawMessage, buffers [][]byte, reply func(msgType string, content any))
	// Info names the target of each open comm; target "" asks for all.
	Info(target string) map[string]string
}

// attachComms tells Config.Comms where to send.
func (k *Kernel) attachComms() {
	if k.cfg.Comms == nil {
		return
	}
	k.cfg.Comms.Attach(func(parent, kind string, content, metadata any, buffers [][]byte) error {
		about := k.current.get()
		if parent != "" {
			about = &Message{Header: mustJSON(Header{ID: parent, Session: k.session, Username: "kernel", Version: protocol})}
		}
		m, err := NewMessage(kind, k.session, about, content)
		if err != nil {
			return err
		}
		if metadata != nil {
			if m.Metadata, err = json.Marshal(metadata); err != nil {
				return err
			}
		}
		m.Buffers = buffers
		k.publish(m)
		return nil
	})
}

// comm takes a message of a comm past the line of requests, because a cell that runs
// may wait for it.
func (k *Kernel) comm(m *Message) {
	if k.cfg.Comms == nil || !k.ours(m) {
		k.noteComm(m)
		if c := k.child.Load(); c != nil {
			c.ch.shell.send(m)
		}
		return
	}
	// A front end sends the next value of a slider when it hears that this one is done.
	k.status(m, "busy")
	k.cfg.Comms.Handle(m.Head.Type, m.Content, m.Metadata, m.Buffers, func(kind string, content any) { k.tell(m, kind, content) })
	k.status(m, "idle")
	// Else front ends show a kernel at rest while a cell runs.
	k.current.with(func(cell *Message) { k.status(cell, "busy") })
}

// current is the request of the cell that runs, if one does.
type current struct {
	mu   sync.Mutex
	cell *Message
}

func (c *current) set(m *Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cell = m
}

func (c *current) get() *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cell
}

// with calls f if a cell runs, which cannot end meanwhile.
func (c *current) with(f func(cell *Message)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cell != nil {
		f(c.cell)
	}
}

// ours says whether a comm belongs to Config.Comms.
func (k *Kernel) ours(m *Message) bool {
	var c struct {
		ID     string `json:"comm_id"`
		Target string `json:"target_name"`
	}
	if json.Unmarshal(m.Content, &c) != nil {
		return false
	}
	if m.Head.Type == "comm_open" {
		return strings.HasPrefix(c.Target, "jupyter.widget")
	}
	_, gonbs := k.comms.Load(c.ID)
	return !gonbs
}

// asObjects makes objects of what a cell shows as JSON, such as a widget: gonb carries
// only text.
func asObjects(m *Message) {
	if m.Head.Type != "display_data" && m.Head.Type != "update_display_data" && m.Head.Type != "execute_result" {
		return
	}
	var content map[string]json.RawMessage
	var data map[string]json.RawMessage
	if json.Unmarshal(m.Content, &content) != nil || json.Unmarshal(content["data"], &data) != nil {
		return
	}
	changed := false
	for mime, value := range data {
		var text string
		if strings.HasSuffix(mime, "+json") && json.Unmarshal(value, &text) == nil && json.Valid([]byte(text)) {
			data[mime], changed = json.RawMessage(text), true
		}
	}
	if changed {
		content["data"] = mustJSON(data)
		m.Content = mustJSON(content)
	}
}
