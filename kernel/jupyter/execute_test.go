//go:build unix

package jupyter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

func TestCells(t *testing.T) {
	f := startFrontEnd(t)
	for _, c := range []struct {
		code, status, kinds string
		last                string // in the content before idle
	}{
		{"1+2", "ok", "busy execute_input execute_result idle", "text/plain:3]"},
		{"x := 3\nx*x", "ok", "busy execute_input execute_result idle", "text/plain:9]"},
		{"type T struct{}\nfunc (T) HTML() string { return \"<b>t</b>\" }\nT{}", "ok", "busy execute_input execute_result idle", "<b>t</b>"},
		{"type V struct{}\nfunc (V) Text() string { return \"plain\" }\nfunc (V) HTML() (string, error) { return \"<i>v</i>\", nil }\nfunc (V) SVG() string { return \"<svg/>\" }\nV{}", "ok", "busy execute_input execute_result idle", "image/svg+xml:<svg/> text/html:<i>v</i> text/plain:plain"},
		{"type R struct { Name string; loss float64; N int }\nfmt, os, html := 1, 2, []*R{{\"a<b\", 1, 7}, nil}\n_, _ = fmt, os\nhtml", "ok", "busy execute_input execute_result idle", "<table><tr><th>Name</th><th>N</th></tr><tr><td>a&lt;b</td><td>7</td></tr><tr><td></td><td></td></tr></table>"},
		{"[]time.Duration{time.Second}", "ok", "busy execute_input execute_result idle", "data:map[text/plain:[1s]]"},
		{"[]time.Time{time.Unix(0,0).UTC()}", "ok", "busy execute_input execute_result idle", "data:map[text/plain:[1970-01-01"},
		{"\"a\\x00b\"", "ok", "busy execute_input execute_result idle", "text/plain:a\ufffdb"},
		{"strconv.Atoi(\"x\")", "ok", "busy execute_input execute_result idle", "text/plain:0 strconv.Atoi"},
		{"func double(x int) int { return 2 * x }", "ok", "busy execute_input idle", ""},
		{"double(21)", "ok", "busy execute_input execute_result idle", "text/plain:42]"},
		{"func nothing() {}\nnothing()", "ok", "busy execute_input idle", ""},
		{"fmt.Println(\"hello\")", "ok", "busy execute_input stream idle", "hello\n"},
		{"%%\nfmt.Println(\"as before\")", "ok", "busy execute_input stream idle", "as before\n"},
		{"!echo shell", "ok", "busy execute_input stream idle", "shell\n"},
		{"1+2;", "ok", "busy execute_input idle", ""},
		{"foo bar", "error", "busy execute_input error idle", "line 1:"},
		{"func f() int {\n\treturn \"no\"\n}", "error", "busy execute_input error idle", "line 2:"},
		{"fmt.Println(1)\n\nmissing()", "error", "busy execute_input error idle", "undefined: missing"},
		{"double(2)\nos.Exit(7)", "error", "busy execute_input error idle", "exit status 7"},
	} {
		reply, kinds, contents := f.run(c.code)
		if reply["status"] != c.status {
			t.Errorf("%q: %v", c.code, reply)
		}
		if got := strings.Join(kinds, " "); got != c.kinds {
			t.Errorf("%q: %s, want %s: %v", c.code, got, c.kinds, contents)
			continue
		}
		if got := fmt.Sprint(contents[len(contents)-2]); !strings.Contains(got, c.last) {
			t.Errorf("%q: %q does not contain %q", c.code, got, c.last)
		}
	}
}

// A cell that panics makes one error, which points to the cell's own line; what it
// printed before stays.
func TestPanic(t *testing.T) {
	f := startFrontEnd(t)
	f.run("func dive(s []int) {\n\ts[3] = 1\n}")
	reply, kinds, contents := f.run("var s []int\nfmt.Fprintln(os.Stderr, \"before\")\n\ndive(s)")
	if got := strings.Join(kinds, " "); got != "busy execute_input stream error idle" {
		t.Fatalf("%s: %v", got, contents)
	}
	trace := fmt.Sprint(contents[3]["traceback"])
	for _, want := range []string{"cell 1, line 2", "-->   2  \ts[3] = 1", "cell 2, line 4", "index out of range"} {
		if !strings.Contains(trace, want) {
			t.Errorf("the trace has no %q:\n%s", want, trace)
		}
	}
	if reply["ename"] != "panic" || reply["evalue"] != contents[3]["evalue"] || strings.Contains(trace, "main.go") {
		t.Errorf("reply %v\ntrace %s", reply, trace)
	}
	// It looks like a crash, but is none: the text is not lost.
	_, kinds, contents = f.run("fmt.Fprintln(os.Stderr, \"panic: only words\")")
	if fmt.Sprint(kinds) != "[busy execute_input stream idle]" || contents[2]["text"] != "panic: only words\n" {
		t.Errorf("%v %v", kinds, contents)
	}
}

// Cells that wait behind one that fails are not run; other requests are answered.
func TestAbort(t *testing.T) {
	f := startFrontEnd(t)
	first := f.send("shell", "execute_request", map[string]any{"code": "time.Sleep(time.Second)\npanic(1)"})
	second := f.send("shell", "execute_request", map[string]any{"code": "1"})
	third := f.send("shell", "is_complete_request", map[string]any{"code": "1"})
	if r := f.wait("shell", first); r["status"] != "error" {
		t.Errorf("first: %v", r)
	}
	if r := f.wait("shell", second); r["status"] != "aborted" {
		t.Errorf("second: %v", r)
	}
	if r := f.wait("shell", third); r["status"] != "complete" {
		t.Errorf("third: %v", r)
	}
	if r, _, _ := f.run("1"); r["status"] != "ok" {
		t.Errorf("afterwards: %v", r)
	}
}

func TestAnswers(t *testing.T) {
	f := startFrontEnd(t)
	f.run("1+2")
	for _, c := range []struct {
		on, kind string
		content  any
		want     string
	}{
		{"shell", "kernel_info_request", struct{}{}, "implementation:ftlab"},
		{"control", "kernel_info_request", struct{}{}, "implementation_version:test"},
		{"shell", "is_complete_request", map[string]string{"code": "f("}, "status:incomplete"},
		{"shell", "history_request", map[string]any{"hist_access_type": "tail", "n": 1}, "history:[[1 1 1+2]]"},
		{"shell", "comm_info_request", struct{}{}, "comms:map[]"},
		{"control", "debug_request", map[string]any{"seq": 4, "command": "initialize"}, "request_seq:4 success:false"},
	} {
		if got := fmt.Sprint(f.request(c.on, c.kind, c.content)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.kind, got, c.want)
		}
	}
	f.send("shell", "comm_open", map[string]any{"comm_id": "c1", "target_name": "widget", "data": map[string]any{}})
	if got := fmt.Sprint(f.request("shell", "comm_info_request", map[string]any{"target_name": "widget"})); !strings.Contains(got, "c1:map[target_name:widget]") {
		t.Errorf("comm_info: %s", got)
	}
}

// An interrupt is acknowledged at once, and ends a cell that listens to it as well as
// one that does not.
func TestInterrupt(t *testing.T) {
	f := startFrontEnd(t)
	for _, code := range []string{
		"fmt.Println(\"up\")\ntime.Sleep(time.Minute)",
		"signal.Ignore(os.Interrupt)\nfmt.Println(\"up\")\ntime.Sleep(time.Minute)",
	} {
		m := f.send("shell", "execute_request", map[string]any{"code": code})
		for up := false; !up; {
			select {
			case got := <-f.iopub:
				up = got.Head.Type == "stream"
			case <-time.After(60 * time.Second):
				t.Fatal("the cell does not start")
			}
		}
		begin := time.Now()
		if r := f.request("control", "interrupt_request", struct{}{}); r["status"] != "ok" || time.Since(begin) > time.Second/2 {
			t.Errorf("interrupt: %v after %v", r, time.Since(begin))
		}
		if r := f.wait("shell", m); r["ename"] != "Interrupted" || time.Since(begin) > 10*time.Second {
			t.Errorf("the cell: %v after %v", r, time.Since(begin))
		}
	}
	if r, _, _ := f.run("1"); r["status"] != "ok" {
		t.Errorf("afterwards: %v", r)
	}
}

// What a cell reads from standard input is asked for at the front end: by gonb, if it is
// told to, and without that when a program, or a command of the shell, waits.
func TestInput(t *testing.T) {
	f := startFrontEnd(t)
	for _, code := range []string{
		"!*true\n%with_inputs\n!read name; echo \"<$name>\"",
		"!read name; echo \"<$name>\"",
		"var name string\nfmt.Scanln(&name)\nfmt.Printf(\"<%s>\\n\", name)",
	} {
		m := f.send("shell", "execute_request", map[string]any{"code": code, "allow_stdin": true})
		select {
		case ask := <-f.replies["stdin"]:
			if ask.Head.Type != "input_request" || ask.Answer != m.Head {
				t.Fatalf("%q: asked by %s of %s", code, ask.Head.Type, ask.Answer.ID)
			}
			reply, err := NewMessage("input_reply", "front", ask, map[string]string{"status": "ok", "value": "Ada"})
			if err != nil {
				t.Fatal(err)
			}
			reply.IDs = nil
			if err := f.stdin.send(reply); err != nil {
				t.Fatal(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q: nothing was asked", code)
		}
		if r := f.wait("shell", m); r["status"] != "ok" {
			t.Errorf("%q: %v", code, r)
		}
		if _, contents := f.output(m); !strings.Contains(fmt.Sprint(contents), "<Ada>") {
			t.Errorf("%q: %v", code, contents)
		}
	}
	// A front end that cannot ask.
	m := f.send("shell", "execute_request", map[string]any{"code": "var name string\nfmt.Scanln(&name)", "allow_stdin": false})
	if r := f.wait("shell", m); r["status"] != "error" {
		t.Errorf("without a way to ask: %v", r)
	}
	if _, contents := f.output(m); !strings.Contains(fmt.Sprint(contents), "cannot give") {
		t.Errorf("without a way to ask: %v", contents)
	}
}

// Whoever does not know the key runs nothing, and disturbs nobody.
func TestForgedMessages(t *testing.T) {
	f := startFrontEnd(t)
	forged, err := NewMessage("execute_request", "front", nil, map[string]any{"code": "1"})
	if err != nil {
		t.Fatal(err)
	}
	frames := forged.Frames([]byte("guessed"))
	for n := range len(frames) + 1 {
		if err := f.shell.SendMulti(zmq4.NewMsgFrom(append([][]byte{{}}, frames[:n]...)...)); err != nil {
			t.Fatal(err)
		}
	}
	reply, kinds, _ := f.run("40+2")
	if reply["status"] != "ok" || reply["execution_count"] != 1.0 || fmt.Sprint(kinds) != "[busy execute_input execute_result idle]" {
		t.Errorf("%v %v", reply, kinds)
	}
}
