package sandbox_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"ftlab/ftlib/sandbox"
)

// needs skips where the kernel permits no sandbox, saying so.
func needs(t *testing.T) {
	t.Helper()
	err := sandbox.Available()
	if errors.Is(err, sandbox.ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// small limits, so that a hostile program is stopped soon.
var small = sandbox.Options{Limits: sandbox.Limits{Wall: 20 * time.Second, CPU: time.Second, Memory: 128 << 20, FileSize: 1 << 20, Disk: 4 << 20, Processes: 16, Output: 64 << 10}}

func judge(t *testing.T, code string, tests sandbox.Tests, o sandbox.Options) sandbox.Verdict {
	t.Helper()
	v, err := sandbox.Judge(context.Background(), code, tests, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Every one of these fails alone, for the reason given, and leaves nothing behind.
func TestHostilePython(t *testing.T) {
	needs(t)
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, code string
		want       []sandbox.Outcome
	}{
		{"forks", "import os\nwhile True: os.fork()", []sandbox.Outcome{sandbox.Processes, sandbox.Timeout}},
		{"forks and hides errors", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", []sandbox.Outcome{sandbox.Timeout}},
		{"threads", "import threading,time\nfor _ in range(1000): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()", []sandbox.Outcome{sandbox.Processes}},
		{"fills memory at once", "x = bytearray(10**10)", []sandbox.Outcome{sandbox.Memory}},
		{"fills memory bit by bit", "x = []\nwhile True: x.append(bytearray(1<<20))", []sandbox.Outcome{sandbox.Memory}},
		{"fills memory in many processes", "import os,time\nfor _ in range(10):\n  if os.fork() == 0:\n    x = bytearray(os.urandom(1<<20))*60\n    time.sleep(60)\ntime.sleep(60)", []sandbox.Outcome{sandbox.Memory}},
		{"writes a large file", "f = open('x', 'wb')\nwhile True: f.write(b'x'*65536)", []sandbox.Outcome{sandbox.FileSize}},
		{"writes many files", "i = 0\nwhile True:\n  i += 1\n  open(f'{i}', 'wb').write(b'x'*500000)", []sandbox.Outcome{sandbox.FileSize}},
		{"writes for ever", "while True: print('x'*100)", []sandbox.Outcome{sandbox.Output}},
		{"computes for ever", "while True: pass", []sandbox.Outcome{sandbox.Timeout}},
		{"reads passwords", "open('/etc/passwd').read()", []sandbox.Outcome{sandbox.Exit}},
		{"reads home", "import os\nos.listdir('/root')\nos.listdir('/home')", []sandbox.Outcome{sandbox.Exit}},
		{"reads a file of the host", "open(" + quote(secret) + ").read()", []sandbox.Outcome{sandbox.Exit}},
		{"reads the memory of others", "import os\nassert [p for p in os.listdir('/proc') if p.isdigit() and int(p) > 9]", []sandbox.Outcome{sandbox.Wrong}},
		{"opens a socket", "import socket\nsocket.socket().connect(('127.0.0.1', 22))", []sandbox.Outcome{sandbox.Exit}},
		{"asks the name server", "import socket\nsocket.getaddrinfo('localhost', 80)", []sandbox.Outcome{sandbox.Exit}},
		{"writes to the system", "open('/usr/x', 'w')", []sandbox.Outcome{sandbox.Exit}},
		{"mounts", "import ctypes\nl = ctypes.CDLL(None)\nassert l.mount(b'x', b'/tmp', b'tmpfs', 0, 0) == 0", []sandbox.Outcome{sandbox.Wrong}},
		{"makes namespaces", "import ctypes\nl = ctypes.CDLL(None)\nassert l.unshare(0x10000000) == 0", []sandbox.Outcome{sandbox.Wrong}},
		{"kills its watcher", "import os, signal\nos.kill(1, signal.SIGKILL)\nos.kill(-1, signal.SIGKILL)", []sandbox.Outcome{sandbox.Signal, sandbox.Exit}},
		{"troubles its watcher", "import os, signal\nfor s in range(1, 65):\n  try: os.kill(1, s)\n  except OSError: pass", []sandbox.Outcome{sandbox.OK, sandbox.Signal}},
		{"crashes", "import ctypes\nctypes.string_at(0)", []sandbox.Outcome{sandbox.Signal}},
		{"leaves early", "import os\nos._exit(0)", []sandbox.Outcome{sandbox.Exit}},
		{"leaves early, politely", "import sys\nsys.exit(0)", []sandbox.Outcome{sandbox.Exit}},
		{"leaves a process behind", "import os,time\nif os.fork() == 0:\n  time.sleep(1000)", []sandbox.Outcome{sandbox.OK}},
		{"is no Python", "def f(:", []sandbox.Outcome{sandbox.Compile}},
		{"raises", "raise ValueError('no')", []sandbox.Outcome{sandbox.Exit}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(t, c.code, sandbox.Tests{Check: "assert True"}, small)
			found := false
			for _, w := range c.want {
				found = found || v.Outcome == w
			}
			if !found || v.Passed != (v.Outcome == sandbox.OK) {
				t.Errorf("%s, %q, want %s; runs %+v", v.Outcome, v.Reason, c.want, v.Runs)
			}
			t.Logf("%s in %v: %s", v.Outcome, v.Runs[0].Wall.Round(time.Millisecond), v.Reason)
		})
	}
}

func quote(s string) string { return "'" + s + "'" }

func TestSleeps(t *testing.T) {
	needs(t)
	o := small
	o.Limits.Wall = time.Second
	if v := judge(t, "import time\ntime.sleep(1000)", sandbox.Tests{Check: "pass"}, o); v.Outcome != sandbox.Timeout || v.Passed {
		t.Errorf("%+v", v)
	}
}

func TestPython(t *testing.T) {
	needs(t)
	add := "def add(a, b):\n  return a + b\n"
	echo := "print(sum(map(int, input().split())))"
	for _, c := range []struct {
		code  string
		tests sandbox.Tests
		want  sandbox.Outcome
		at    int
	}{
		{add, sandbox.Tests{Check: "assert add(1, 2) == 3\nprint('fine')"}, sandbox.OK, 0},
		{add, sandbox.Tests{Check: "assert add(1, 2) == 4, 'sum'"}, sandbox.Wrong, 0},
		{add, sandbox.Tests{Check: "assert sub(1, 2) == 4"}, sandbox.Exit, 0},
		{echo, sandbox.Tests{Cases: []sandbox.Case{{"1 2\n", "3"}, {"4 5", "9\n\n"}}}, sandbox.OK, 0},
		{echo, sandbox.Tests{Cases: []sandbox.Case{{"1 2\n", "3"}, {"4 5", "8"}}}, sandbox.Wrong, 2},
		{"import collections, json, math, re, itertools, heapq, functools, typing, string, random, datetime, decimal, fractions", sandbox.Tests{Check: "pass"}, sandbox.OK, 0},
		{"open('a', 'w').write('b')", sandbox.Tests{Check: "assert open('a').read() == 'b'"}, sandbox.OK, 0},
	} {
		v := judge(t, c.code, c.tests, sandbox.Options{})
		if v.Outcome != c.want || v.Case != c.at || v.Passed != (c.want == sandbox.OK) || v.Passed != (v.Reason == "") {
			t.Errorf("%s\n%+v: %+v", c.code, c.tests, v)
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := sandbox.Judge(context.Background(), "x", sandbox.Tests{}, sandbox.Options{}); err == nil || !strings.Contains(err.Error(), "no tests") {
		t.Error(err)
	}
	if _, err := sandbox.Run(context.Background(), sandbox.Job{}); err == nil || !strings.Contains(err.Error(), "Args") {
		t.Error(err)
	}
	needs(t)
	if _, err := sandbox.Judge(context.Background(), "x", sandbox.Tests{Language: "perl", Check: "x"}, sandbox.Options{}); err == nil || !strings.Contains(err.Error(), "perl") {
		t.Error(err)
	}
	if _, err := sandbox.Run(context.Background(), sandbox.Job{Args: []string{"/bin/true"}, Files: map[string]string{"../x": ""}}); err == nil || !strings.Contains(err.Error(), "leaves") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := sandbox.Run(ctx, sandbox.Job{Args: []string{"/bin/true"}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCode(t *testing.T) {
	for _, c := range []struct {
		language   sandbox.Language
		text, want string
	}{
		{sandbox.Python, "x = 1", "x = 1"},
		{sandbox.Python, "Here:\n```python\nx = 1\n```\nand\n```bash\nls\n```\n", "x = 1"},
		{sandbox.Python, "```\nx = 1\n```", "x = 1"},
		{sandbox.Python, "<think>```python\nno\n```</think>```py\nyes\n```", "yes"},
		{sandbox.Go, "```python\nx\n```\n```go\npackage main\n```", "package main"},
		{sandbox.Python, "```python\nx = 1\ny = 2", "x = 1\ny = 2"},
	} {
		if got := sandbox.Code(c.language, c.text); got != c.want {
			t.Errorf("%q: %q", c.text, got)
		}
	}
}
