//go:build unix

package jupyter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// echoComms is a widget library of one widget: it opens a comm for each cell's id that
// it is asked about and sends back what it gets.
type echoComms struct {
	send func(parent, msgType string, content, metadata any, buffers [][]byte) error
	t    *testing.T
}

func (e *echoComms) Attach(send func(parent, msgType string, content, metadata any, buffers [][]byte) error) {
	e.send = send
}

func (e *echoComms) Info(string) map[string]string {
	return map[string]string{"mine": "jupyter.widget"}
}

func (e *echoComms) Handle(kind string, content, metadata json.RawMessage, buffers [][]byte, reply func(string, any)) {
	reply("comm_msg", map[string]any{"comm_id": "c1", "data": map[string]any{"kind": kind, "bytes": fmt.Sprintf("%s", buffers), "meta": metadata}})
}

// Comms of widgets are the Config's, also while a cell runs, and each of their messages
// is answered by busy and idle: front ends wait for it.
func TestComms(t *testing.T) {
	echo := &echoComms{t: t}
	f := startFrontEndWith(t, func(cfg *Config) { cfg.Comms = echo; cfg.Env = []string{"FTLAB_TEST=from the kernel"} })
	cell := f.send("shell", "execute_request", map[string]any{"code": "fmt.Println(\"up\")\ntime.Sleep(2*time.Second)"})
	for up := false; !up; {
		up = (<-f.iopub).Head.Type == "stream"
	}
	open := f.send("shell", "comm_open", map[string]any{"comm_id": "c1", "target_name": "jupyter.widget", "data": map[string]any{}})
	if kinds, contents := f.output(open); fmt.Sprint(kinds) != "[busy comm_msg idle]" || !strings.Contains(fmt.Sprint(contents), "kind:comm_open") {
		t.Errorf("%v %v", kinds, contents)
	}
	if err := echo.send(cell.Head.ID, "comm_msg", map[string]any{"comm_id": "c1"}, nil, [][]byte{[]byte("raw")}); err != nil {
		t.Fatal(err)
	}
	if err := echo.send("", "comm_open", map[string]any{"comm_id": "c2", "target_name": "jupyter.widget"}, map[string]string{"version": "2.1.0"}, nil); err != nil {
		t.Fatal(err)
	}
	var parents []string
	for len(parents) < 2 {
		m := <-f.iopub
		if m.Head.Type == "status" { // the cell is still busy
			continue
		}
		parents = append(parents, m.Answer.ID)
		if m.Head.Type == "comm_msg" && string(m.Buffers[0]) != "raw" || m.Head.Type == "comm_open" && !strings.Contains(string(m.Metadata), "2.1.0") {
			t.Errorf("%s %s", m.Metadata, m.Buffers)
		}
	}
	if parents[0] != cell.Head.ID || parents[1] != cell.Head.ID {
		t.Errorf("parents %v, want %s", parents, cell.Head.ID)
	}
	f.wait("shell", cell)
	f.output(cell)
	info := fmt.Sprint(f.request("shell", "comm_info_request", map[string]any{"target_name": "jupyter.widget"}))
	for _, want := range []string{"mine:"} {
		if !strings.Contains(info, want) {
			t.Errorf("comm_info has no %s: %s", want, info)
		}
	}
	closing := f.send("shell", "comm_close", map[string]any{"comm_id": "c1"})
	if _, contents := f.output(closing); !strings.Contains(fmt.Sprint(contents), "kind:comm_close") {
		t.Errorf("close: %v", contents)
	}
	if _, _, contents := f.run("os.Getenv(\"FTLAB_TEST\")"); !strings.Contains(fmt.Sprint(contents), "from the kernel") {
		t.Errorf("the cell's environment: %v", contents)
	}
}
