//go:build unix

package jupyter

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ftlab/internal/testkit/port"
)

// The test program is the reaper, too, when it is started with this argument.
const reapArg = "reap-for-test"

// And a kernel of its own, which can be killed, with this one.
const kernelArg = "kernel-for-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == reapArg {
		if Reaper(os.Stdin, os.Args[2], os.Args[3:]) != nil {
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 3 && os.Args[1] == kernelArg {
		k, err := New(Config{ConnectionFile: os.Args[2], Command: os.Args[3:], Reaper: []string{os.Args[0], reapArg}})
		if err != nil || k.Run(context.Background()) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func reaper(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, reapArg}
}

// tool finds a program that scripts/lab installs.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs("../../.lab/bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is missing: scripts/lab --setup installs it", name)
	}
	return path
}

// frontEnd is what Jupyter is to a kernel.
type frontEnd struct {
	*channels
	t       *testing.T
	key     []byte
	replies map[string]chan *Message
	iopub   chan *Message
	kernel  *Kernel
}

// connection writes a connection file, as Jupyter does.
func connection(t *testing.T) (file string, conn Connection) {
	t.Helper()
	p := port.Free(t, 5)
	conn = Connection{Transport: "tcp", IP: "127.0.0.1", Shell: p[0], Control: p[1], Stdin: p[2], IOPub: p[3], Heartbeat: p[4], Key: randomID(), Scheme: "hmac-sha256"}
	file = filepath.Join(t.TempDir(), "kernel-0a1b.json")
	if err := conn.write(file); err != nil {
		t.Fatal(err)
	}
	return file, conn
}

// startFrontEnd starts a kernel on gonb and connects to it.
func startFrontEnd(t *testing.T) *frontEnd {
	t.Helper()
	return startFrontEndWith(t, func(*Config) {})
}

// startFrontEndWith lets the test change what the kernel is made of.
func startFrontEndWith(t *testing.T, change func(*Config)) *frontEnd {
	t.Helper()
	gonb := tool(t, "gonb")
	tool(t, "goimports")
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOPROXY", "off")
	file, conn := connection(t)
	cfg := Config{ConnectionFile: file, Command: []string{gonb}, Reaper: reaper(t),
		HistoryFile: filepath.Join(t.TempDir(), "history.jsonl"), Version: "test", Grace: time.Second}
	change(&cfg)
	k, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("the kernel does not end")
		}
	})
	cs, err := dial(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	f := &frontEnd{channels: cs, t: t, key: []byte(conn.Key), replies: map[string]chan *Message{}, iopub: make(chan *Message, 10000), kernel: k}
	heard := func(to chan *Message) func(*Message) {
		return func(m *Message) {
			// JupyterLab drops what it is handling when the session of messages changes.
			if m.Head.Session != k.session {
				t.Errorf("%s of session %q, others of %q", m.Head.Type, m.Head.Session, k.session)
			}
			to <- m
		}
	}
	for name, ch := range map[string]*channel{"shell": cs.shell, "control": cs.control, "stdin": cs.stdin} {
		replies := make(chan *Message, 100)
		f.replies[name] = replies
		go ch.receive(ctx, heard(replies), func(error) {})
	}
	go cs.iopub.receive(ctx, heard(f.iopub), func(error) {})
	for range 50 { // until the subscription has arrived
		f.request("shell", "kernel_info_request", struct{}{})
		select {
		case <-f.iopub:
			f.quiet()
			return f
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("the kernel does not answer")
	return nil
}

// quiet drops what is still under way.
func (f *frontEnd) quiet() {
	for {
		select {
		case <-f.iopub:
		case <-time.After(150 * time.Millisecond):
			return
		}
	}
}

func (f *frontEnd) send(on, kind string, content any) *Message {
	f.t.Helper()
	m, err := NewMessage(kind, "front", nil, content)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := map[string]*channel{"shell": f.shell, "control": f.control, "stdin": f.stdin}[on].send(m); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// request sends and waits for the reply.
func (f *frontEnd) request(on, kind string, content any) map[string]any {
	f.t.Helper()
	return f.wait(on, f.send(on, kind, content))
}

func (f *frontEnd) wait(on string, m *Message) map[string]any {
	f.t.Helper()
	for {
		select {
		case reply := <-f.replies[on]:
			if reply.Answer != m.Head {
				continue // of a request that nobody waited for
			}
			if want := strings.TrimSuffix(m.Head.Type, "request") + "reply"; reply.Head.Type != want {
				f.t.Errorf("%s was answered by %s", m.Head.Type, reply.Head.Type)
			}
			return content(f.t, reply)
		case <-time.After(60 * time.Second):
			f.t.Fatalf("no reply to %s %s", m.Head.Type, m.Content)
		}
	}
}

func content(t *testing.T, m *Message) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(m.Content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// output is what comes on iopub about a request, from busy to idle.
func (f *frontEnd) output(m *Message) (kinds []string, contents []map[string]any) {
	f.t.Helper()
	for {
		select {
		case got := <-f.iopub:
			if got.Answer.ID != m.Head.ID {
				continue
			}
			c := content(f.t, got)
			kind := got.Head.Type
			if kind == "status" {
				kind = c["execution_state"].(string)
			}
			kinds, contents = append(kinds, kind), append(contents, c)
			if kind == "idle" {
				return kinds, contents
			}
		case <-time.After(60 * time.Second):
			f.t.Fatalf("no idle after %s; so far %v", m.Head.Type, kinds)
		}
	}
}

// run executes a cell.
func (f *frontEnd) run(code string) (reply map[string]any, kinds []string, contents []map[string]any) {
	f.t.Helper()
	m := f.send("shell", "execute_request", map[string]any{"code": code, "silent": false, "store_history": true})
	reply = f.wait("shell", m)
	kinds, contents = f.output(m)
	return reply, kinds, contents
}

// alive says whether a process runs.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	return !strings.Contains(string(stat), ") Z ") && syscall.Kill(pid, 0) == nil
}
