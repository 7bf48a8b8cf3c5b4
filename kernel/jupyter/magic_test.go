//go:build unix

package jupyter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMagics(t *testing.T) {
	t.Setenv(ProxyEnv, "file:///nowhere")
	f := startFrontEndWith(t, func(cfg *Config) {
		cfg.Magics = []Magic{
			{Name: "%lab", Help: "a test", Run: func(_ context.Context, c Call) (string, error) {
				switch c.Line {
				case "fail":
					return "", errors.New("no such thing")
				case "draw":
					c.Show("drawn", "<b>drawn</b>")
				case "shell":
					return "echo from $PWD", nil
				case "bad":
					return "echo ft: it went wrong >&2; exit 3", nil
				case "where":
					c.Show(c.Dir+"\n", "")
				}
				return "", nil
			}, Complete: func(string, string) []string { return []string{"draw", "drop"} }},
			{Name: "%%lab", Help: "a test", Run: func(_ context.Context, c Call) (string, error) {
				path := filepath.Join(c.Temp, "body.txt")
				return "cat " + path, os.WriteFile(path, []byte(c.Line+":"+c.Body), 0o600)
			}},
		}
	})
	dir := t.TempDir()
	if dir, err := filepath.EvalSymlinks(dir); err == nil {
		f.run("%cd " + dir)
	}
	for _, c := range []struct{ code, status, kinds, last string }{
		{"%lab draw", "ok", "busy execute_input display_data idle", "<b>drawn</b>"},
		{"%lab where", "ok", "busy execute_input stream idle", dir},
		{"%lab shell", "ok", "busy execute_input stream idle", "from " + dir},
		{"%lab draw\n1+2", "ok", "busy execute_input display_data execute_result idle", "text/plain:3]"},
		{"%lab fail\nfmt.Println(1)", "error", "busy execute_input error idle", "no such thing"},
		{"%lab bad", "error", "busy execute_input stream error idle", "it went wrong"},
		{"%%lab a b\nx: 1\n%ti", "ok", "busy execute_input stream idle", "a b:x: 1\n%ti"},
		{"%tiem f()", "error", "busy execute_input error idle", "did you mean %time?"},
		{"fmt.Println(1)\n%nonsense", "error", "busy execute_input error idle", "cell 10, line 2:"},
		{"%%labb\nx", "error", "busy execute_input error idle", "did you mean %%lab?"},
		{"fmt.Println(1)\n%%lab", "error", "busy execute_input error idle", "first line"},
		{"%time time.Sleep(200*time.Millisecond)", "ok", "busy execute_input stream idle", "run 0.2"},
		{"%time\n1+2", "ok", "busy execute_input execute_result stream idle", "build "},
		{"%help", "ok", "busy execute_input display_data idle", "%%writefile"},
		{"!exit 3", "ok", "busy execute_input stream idle", "exit status 3"},
		{"!echo $GOPROXY", "ok", "busy execute_input stream idle", "text:off\n"},
	} {
		reply, kinds, contents := f.run(c.code)
		if reply["status"] != c.status || strings.Join(kinds, " ") != c.kinds {
			t.Errorf("%q: %v %v %v", c.code, reply["status"], kinds, contents)
			continue
		}
		if got := fmt.Sprint(contents[len(contents)-2]); !strings.Contains(got, c.last) {
			t.Errorf("%q: %q does not contain %q", c.code, got, c.last)
		}
	}
	// Only go get has the user's own proxy, which cells have not.
	if _, _, contents := f.run("!*go get example.com/none@v1.0.0"); !strings.Contains(fmt.Sprint(contents), "/nowhere/example.com/none") {
		t.Errorf("go get did not ask the user's proxy: %v", contents)
	}
	if matches, replaced, _ := f.completions("1\n%lab dr|"); fmt.Sprint(matches) != "[draw drop]" || replaced != "dr" {
		t.Errorf("%v in place of %q", matches, replaced)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"%time", "%env", "%%ft", "%help"}
	for word, want := range map[string]string{"%tiem": "%time", "%hlp": "%help", "%%fft": "%%ft", "%something": ""} {
		if got := nearest(word, names); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q", word, got)
		}
	}
}

// What a kernel prepares before a cell reaches the cell, and survives gonb.
func TestPrepare(t *testing.T) {
	asked := 0
	f := startFrontEndWith(t, func(cfg *Config) {
		cfg.Prepare = func(code string) ([]string, string) {
			if asked++; asked > 1 {
				return nil, ""
			}
			return []string{`FTLAB_TEST=a "b" \c`}, "the server had ended"
		}
	})
	_, kinds, contents := f.run("os.Getenv(\"FTLAB_TEST\")")
	if fmt.Sprint(kinds) != "[busy execute_input stream execute_result idle]" || contents[2]["text"] != "Note: the server had ended\n" || !strings.Contains(fmt.Sprint(contents[3]), `a "b" \c`) {
		t.Errorf("%v %v", kinds, contents)
	}
	c := f.kernel.child.Load()
	c.keep.Close()
	<-c.done
	if _, kinds, contents := f.run("os.Getenv(\"FTLAB_TEST\")"); !strings.Contains(fmt.Sprint(contents), `a "b" \c`) {
		t.Errorf("after the new start: %v %v", kinds, contents)
	}
}

// 100 MB of output: what is too much is cut, the end is shown, the kernel answers.
func TestMuchOutput(t *testing.T) {
	f := startFrontEnd(t)
	m := f.send("shell", "execute_request", map[string]any{"code": "line := strings.Repeat(\"x\", 999)\nfor range 100_000 {\n\tfmt.Println(line)\n}\nfmt.Println(\"the end\")"})
	if r := f.wait("shell", m); r["status"] != "ok" {
		t.Errorf("%v", r)
	}
	_, contents := f.output(m)
	n := 0
	for _, c := range contents {
		if text, ok := c["text"].(string); ok {
			n += len(text)
		}
	}
	last := fmt.Sprint(contents[len(contents)-2]["text"])
	if n > maxOutput+2*keptTail || !strings.Contains(last, "[97.9 MB of output are not shown") || !strings.HasSuffix(last, "the end\n") {
		t.Errorf("%d bytes; the last: %.200q ... %q", n, last, last[max(0, len(last)-50):])
	}
	if _, _, contents := f.run("1+2"); !strings.Contains(fmt.Sprint(contents), "text/plain:3") {
		t.Errorf("afterwards: %v", contents)
	}
}

// However a cell leaves, there is one outcome, and the next cell runs.
func TestWaysToEnd(t *testing.T) {
	f := startFrontEnd(t)
	for _, c := range []struct{ code, status, want string }{
		{"os.Stdout.Close()\nos.Stderr.Close()\ntime.Sleep(300*time.Millisecond)", "ok", ""},
		{"for range 100 {\n\tgo func() { select {} }()\n}\n\"left\"", "ok", "left"},
		{"os.Exit(0)", "ok", ""},
		{"os.Exit(7)", "error", "exit status 7"},
		{"go panic(\"elsewhere\")\ntime.Sleep(time.Minute)", "error", "elsewhere"},
		{"syscall.Kill(os.Getpid(), syscall.SIGKILL)", "error", "signal: killed"},
		{"log.Fatal(\"fatal words\")", "error", "fatal words"},
		{"var lock sync.Mutex\nlock.Lock()\nlock.Lock()", "error", "deadlock"},
		{"c := exec.Command(\"sleep\", \"600\")\nc.Stdout = os.Stdout\nc.Start()\n\"started\"", "ok", "held its output open"},
	} {
		reply, kinds, contents := f.run(c.code)
		if reply["status"] != c.status || !strings.Contains(fmt.Sprint(contents), c.want) {
			t.Errorf("%q: %v %v %v", c.code, reply, kinds, contents)
		}
		if n := strings.Count(strings.Join(kinds, " "), "error"); n > 1 || c.status == "error" && n != 1 {
			t.Errorf("%q: %v", c.code, kinds)
		}
		if _, _, contents := f.run("1+2"); !strings.Contains(fmt.Sprint(contents), "text/plain:3") {
			t.Errorf("after %q: %v", c.code, contents)
		}
	}
}
