//go:build unix

package jupyter

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// folder is where cells run: gonb's, which %cd changes.
func (c *child) folder() string {
	if dir, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(c.pid()), "cwd")); err == nil {
		return dir
	}
	dir, _ := os.Getwd() // where it began
	return dir
}

// watching is how often a cell that runs is looked after.
const watching = 250 * time.Millisecond

// watch looks after a cell that runs, until done. gonb waits for the end of its output,
// which a process that the cell started and left behind may hold open for ever: such a
// one is ended a second after its cell, and told of. And a program that waits for its
// standard input would wait for ever: the front end is asked for a line.
func (k *Kernel) watch(c *child, m *Message, done <-chan struct{}) {
	var ended time.Time
	waits := 0 // the process that waited the last time
	for {
		select {
		case <-done:
			return
		case <-time.After(watching):
		}
		gonb := c.pid()
		if gonb == 0 {
			continue
		}
		if !cellEnded(gonb) {
			ended = time.Time{}
			now := reader(gonb)
			if now != 0 && now == waits && k.input.Load() == nil && !k.gonbAsks.Load() {
				k.askFor(m, c, now)
			}
			waits = now
			continue
		}
		if ended.IsZero() {
			ended = time.Now()
		}
		if time.Since(ended) < time.Second {
			continue
		}
		for _, p := range holders(c.cmd.Process.Pid, gonb) {
			k.tell(m, "stream", map[string]string{"name": "stderr", "text": fmt.Sprintf(
				"Note: the cell has ended, but process %d (%s), which it left behind, held its output open; it was ended.\n", p.pid, p.name)})
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// askFor asks the front end for the line that a process waits for. A front end that
// cannot ask ends the cell.
func (k *Kernel) askFor(m *Message, c *child, pid int) {
	var r struct {
		Allow bool `json:"allow_stdin"`
	}
	if json.Unmarshal(m.Content, &r) != nil || !r.Allow {
		k.tell(m, "stream", map[string]string{"name": "stderr", "text": "Note: the cell waits for its standard input, which this front end cannot give; it is ended.\n"})
		syscall.Kill(pid, syscall.SIGKILL)
		return
	}
	give := func(line string) {
		to, err := os.OpenFile(filepath.Join("/proc", strconv.Itoa(pid), "fd", "0"), os.O_WRONLY, 0)
		if err != nil {
			return // it has ended meanwhile
		}
		defer to.Close()
		io.WriteString(to, line+"\n")
	}
	k.input.Store(&give)
	ask, err := NewMessage("input_request", k.session, m, map[string]any{"prompt": "", "password": false})
	if err == nil {
		err = k.front.stdin.send(ask)
	}
	if err != nil {
		fmt.Fprintln(k.cfg.Log, "stdin:", err)
	}
}

// answered takes what the front end was asked for, to whoever asked.
func (k *Kernel) answered(m *Message) {
	if give := k.input.Swap(nil); give != nil {
		var r struct{ Value string }
		if json.Unmarshal(m.Content, &r) == nil {
			go (*give)(r.Value) // a long line waits until it is read
		}
		return
	}
	// gonb drops an answer that comes before it has noted that it asked.
	time.Sleep(time.Until(time.Unix(0, k.asked.Load()).Add(200 * time.Millisecond)))
	if c := k.child.Load(); c != nil {
		if err := c.ch.stdin.send(m); err != nil {
			fmt.Fprintln(k.cfg.Log, "stdin:", err)
		}
	}
}

// folder is where cells run.
func (k *Kernel) folder() string {
	if c := k.child.Load(); c != nil {
		return c.folder()
	}
	return ""
}
