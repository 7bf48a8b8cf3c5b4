//go:build unix

package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"

	"ftlab/kernel/jupyter"
)

// What a cell may do to a kernel that is not its own. After each, the next cell works;
// at the end nothing is left.
func TestCellsThatMisbehave(t *testing.T) {
	t.Parallel()
	k := Start(t, Setup{})
	for _, c := range []struct {
		name, code, status, ename string
		note                      string // what its user is told
	}{
		{"panics", "panic(\"no\")", "error", "panic", ""},
		{"panics in a goroutine", "go func() { panic(\"no\") }()\ntime.Sleep(time.Minute)", "error", "panic", ""},
		{"exits", "os.Exit(3)", "error", "ExitError", ""},
		{"ends well before its end", "os.Exit(0)", "ok", "", ""},
		{"runs out of stack", "var f func(int) int\nf = func(n int) int { return f(n+1) + 1 }\nfmt.Println(f(0))", "error", "fatal error", ""},
		{"kills itself", "syscall.Kill(os.Getpid(), syscall.SIGKILL)", "error", "", ""},
		{"closes what it prints to", "os.Stdout.Close()\nos.Stderr.Close()", "ok", "", ""},
		{"leaks goroutines", "for range 10_000 {\n\tgo func() { select {} }()\n}", "ok", "", ""},
		{"leaks files", "for range 200 {\n\tos.Open(os.DevNull)\n}", "ok", "", ""},
		{"removes its folder", "exe, _ := os.Executable()\nos.Remove(exe)", "ok", "", ""},
		{"starts a child that goes on", "c := exec.Command(\"sleep\", \"1000\")\nc.Start()", "ok", "", ""},
		{"starts a child that hides", "c := exec.Command(\"sh\", \"-c\", \"setsid sleep 1000 >/dev/null 2>&1 &\")\nc.Run()", "ok", "", ""},
		{"leaves a child with its output open", "c := exec.Command(\"sleep\", \"1000\")\nc.Stdout, c.Stderr = os.Stdout, os.Stderr\nc.Start()", "ok", "", "held its output open"},
	} {
		r := k.Run(c.code)
		if r.Status() != c.status || c.ename != "" && r.Reply()["ename"] != c.ename {
			t.Errorf("a cell that %s: %v", c.name, r.Reply())
		}
		want := "busy execute_input idle"
		if c.status == "error" {
			want = "busy execute_input error idle"
		}
		if c.note != "" {
			want = "busy execute_input stream idle"
		}
		if got := r.Kinds(); got != want || !strings.Contains(r.Text(), c.note) {
			t.Errorf("a cell that %s: %s, want %s: %s", c.name, got, want, r.Text())
		}
		k.Want("6*7", "42")
	}
	k.Shutdown()
	k.Left()
}

// A cell that prints 100 MB, or without end, does not bring the kernel or the front end
// down: they get its beginning, and an interrupt ends it. (What is said of the rest is tested
// in kernel/jupyter; here a busy machine may lose it: gonb drops what is not taken in time.)
func TestCellThatPrintsMuch(t *testing.T) {
	t.Parallel()
	k := Start(t, Setup{})
	const size = 100 << 20
	r := k.Run(fmt.Sprintf("line := strings.Repeat(\"0123456789abcde\\n\", 64)\nfor range %d {\n\tos.Stdout.WriteString(line)\n}\nfmt.Print(\"the end\")", size>>10))
	if got := r.Bytes(); r.Status() != "ok" || got < 1<<20 || got > 4<<20 {
		t.Errorf("%s, %d bytes, which end with %.200q", r.Status(), got, r.Last())
	}
	k.Want("6*7", "42")
	r = k.Cell("for {\n\tfmt.Println(\"on and on\")\n}")
	r.Says("on and on")
	k.Interrupt()
	r.Done()
	if r.Reply()["ename"] != "Interrupted" {
		t.Errorf("%v", r.Reply())
	}
	k.Want("6*7", "42")
	k.Shutdown()
	k.Left()
}

// Whatever of the kernel's processes is killed: the next cell works, or all are gone.
func TestKilled(t *testing.T) {
	for _, c := range []struct {
		what   string
		find   func(*Kernel) int
		signal syscall.Signal
		lives  bool // the kernel goes on
	}{
		{"gonb", func(k *Kernel) int { return k.Find("gonb").PID }, syscall.SIGKILL, true},
		{"gonb, told", func(k *Kernel) int { return k.Find("gonb").PID }, syscall.SIGTERM, true},
		{"the reaper", func(k *Kernel) int { return k.Find("ft", "kernel", "reap").PID }, syscall.SIGKILL, true},
		{"the kernel", func(k *Kernel) int { return k.Cmd.Process.Pid }, syscall.SIGKILL, false},
		{"the kernel, told", func(k *Kernel) int { return k.Cmd.Process.Pid }, syscall.SIGTERM, false},
		{"the kernel, hung up", func(k *Kernel) int { return k.Cmd.Process.Pid }, syscall.SIGHUP, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			k := Start(t, Setup{})
			k.Want("func six() int { return 6 }\nsix()*7", "42")
			r := k.Cell("fmt.Println(\"running\")\nexec.Command(\"sleep\", \"1000\").Run()")
			r.Says("running")
			if err := syscall.Kill(c.find(k), c.signal); err != nil {
				t.Fatal(err)
			}
			if !c.lives {
				k.Ended()
				k.Left()
				return
			}
			r.Done()
			if r.Status() != "error" || !strings.Contains(r.Text(), "started again") {
				t.Errorf("the cell that ran: %s %q", r.Status(), r.Text())
			}
			k.Want("six()*7", "42") // also what earlier cells have declared is there
			k.Shutdown()
			k.Left()
		})
	}
}

// A front end that disappears, in the middle of a cell and with output under way, is
// no reason to end: the next one finds the kernel as it was.
func TestFrontEndThatDisappears(t *testing.T) {
	t.Parallel()
	k := Start(t, Setup{})
	k.Want("func six() int { return 6 }\nsix()", "6")
	r := k.Cell("for i := range 200_000 {\n\tfmt.Println(i)\n}")
	r.Says("100\n")
	k.Disconnect()
	k.Connect()
	k.Want("six()*7", "42")
	k.Shutdown()
	k.Left()
}

// Two kernels may run at once; one's death is nothing to the other.
func TestTwoKernels(t *testing.T) {
	t.Parallel()
	mark := NewMark(t)
	a, b := Start(t, Setup{Mark: mark}), Start(t, Setup{Mark: mark})
	a.Want("func who() string { return \"a\" }\nwho()", "a")
	b.Want("func who() string { return \"b\" }\nwho()", "b")
	r := b.Cell("fmt.Println(\"running\")\ntime.Sleep(3 * time.Second)\nwho()")
	r.Says("running")
	if err := a.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.Ended()
	r.Done()
	if r.Status() != "ok" || !strings.HasSuffix(r.Text(), "b") {
		t.Errorf("%s %q", r.Status(), r.Text())
	}
	b.Want("who()", "b")
	b.Shutdown()
	mark.Left()
}

// What is no message, is signed by another, or was signed and changed, is not obeyed
// and does no harm.
func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	k := Start(t, Setup{})
	dir := t.TempDir()
	touch := func(name string) any {
		return map[string]any{"code": fmt.Sprintf("os.WriteFile(%q, nil, 0o600)", filepath.Join(dir, name))}
	}
	message := func(kind string, content any) *jupyter.Message {
		m, err := jupyter.NewMessage(kind, "front", nil, content)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	key := []byte(k.Conn.Key)
	for _, on := range []string{"shell", "control", "stdin"} {
		k.SendFrames(on, message("execute_request", touch("other key")).Frames([]byte("another")))
		k.SendFrames(on, message("shutdown_request", struct{}{}).Frames(nil))
		changed := message("execute_request", touch("changed")).Frames(key)
		changed[5] = []byte(strings.Replace(string(changed[5]), "changed", "CHANGED", 1))
		k.SendFrames(on, changed)
		good := message("execute_request", touch("cut")).Frames(key)
		for n := 1; n < len(good); n++ {
			k.SendFrames(on, good[:n])
		}
		k.SendFrames(on, [][]byte{{}})
		k.SendFrames(on, [][]byte{[]byte("<IDS|MSG>")})
		for _, content := range []string{"{", "[]", "3", "null", `"text"`, `{"code":3}`, `{"code":null}`, strings.Repeat("[", 20000)} {
			for _, kind := range []string{"execute_request", "complete_request", "inspect_request", "history_request", "is_complete_request",
				"comm_info_request", "comm_open", "comm_msg", "comm_close", "debug_request", "interrupt_request", "input_reply", "no_such_request", "kernel_info_request"} {
				m := message(kind, struct{}{})
				m.Content = []byte(content)
				if kind == "execute_request" && on == "shell" && content == `{"code":null}` {
					continue // as good as an empty cell
				}
				k.SendFrames(on, m.Frames(key))
			}
		}
	}
	// Not ZeroMQ at all, and ZeroMQ with a claim of an endless frame.
	for _, port := range []int{k.Conn.Shell, k.Conn.Control, k.Conn.IOPub, k.Conn.Stdin, k.Conn.Heartbeat} {
		for _, bytes := range []string{"GET / HTTP/1.0\r\n\r\n", strings.Repeat("\xff", 100), "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + strings.Repeat("\x00", 48) + "\x02\x7f\xff\xff\xff\xff\xff\xff\xff"} {
			poke(t, port, bytes)
		}
	}
	k.Want("6*7", "42")
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("a message that must not be obeyed was: %v %v", files, err)
	}
	k.beats()
	k.Shutdown()
	k.Left()
}

// beats asks for a heartbeat.
func (k *Kernel) beats() {
	k.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	s := zmq4.NewReq(ctx)
	defer s.Close()
	if err := s.Dial("tcp://127.0.0.1:" + itoa(k.Conn.Heartbeat)); err != nil {
		k.t.Error(err)
		return
	}
	if err := s.Send(zmq4.NewMsgString("ping")); err != nil {
		k.t.Error(err)
	}
	if m, err := s.Recv(); err != nil || string(m.Bytes()) != "ping" {
		k.t.Errorf("heartbeat: %q %v", m.Bytes(), err)
	}
}

// A full disk makes errors that say so; when there is room again, all is well.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	mark := NewMark(t)
	full := filepath.Join(mark.Dir, "small")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	unmount, err := small(full)
	if err != nil {
		t.Skipf("SKIPPED: a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(unmount)
	k := Start(t, Setup{Mark: mark, Env: []string{"TMPDIR=" + full, "XDG_CACHE_HOME=" + full}})
	k.Want("6*7", "42")
	filler := filepath.Join(full, "filler")
	fill(t, filler)
	r := k.Run("fmt.Println(\"a cell that cannot be built\")\n6*8")
	if r.Status() != "error" || !strings.Contains(r.Text(), "no space left") {
		t.Errorf("on a full disk: %s %q", r.Status(), r.Text())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	k.Want("6*7", "42")
	k.Shutdown()
	k.Left()
}

// fill writes until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for err == nil {
		_, err = f.Write(block)
	}
	for block = block[:1]; ; {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

// A signal to the group, as Ctrl-C in a terminal sends it, interrupts the cell alone.
func TestInterruptOfTheTerminal(t *testing.T) {
	t.Parallel()
	k := Start(t, Setup{})
	r := k.Cell("fmt.Println(\"running\")\ntime.Sleep(time.Hour)")
	r.Says("running")
	began := time.Now()
	if err := syscall.Kill(-k.Cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	r.Done()
	if r.Reply()["ename"] != "Interrupted" || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %s", r.Reply(), time.Since(began))
	}
	k.Want("6*7", "42")
	k.Shutdown()
	k.Left()
}
