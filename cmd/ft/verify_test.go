package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/sandbox"
)

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "out.jsonl")
	put := func(rows string) {
		if err := os.WriteFile(in, []byte(rows), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"answer": "Half of 48 is 24.\n#### 72", "response": "A: 72.00"}
{"answer": 72, "response": "#### 71"}
{"answer": "72", "response": ""}
{"answer": "72", "response": "a <<b>> & no mark"}
`)
	code, _, stderr := ft(t, "verify", "--kind", "gsm8k", "--in", in, "--out", out)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"correct":true,"extracted":"72.00"}
{"correct":false,"extracted":"71"}
{"correct":false,"extracted":null}
{"correct":false,"extracted":null}
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}

	put("{\"answer\": \"\\\\frac12\", \"response\": \"so \\\\boxed{0.5}\"}\n\n\n")
	code, stdout, stderr := ft(t, "verify", "--kind", "math", "--in", in)
	var v verified
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != exitOK || !v.Correct || *v.Extracted != "0.5" {
		t.Errorf("exit code %d: %s %s", code, stdout, stderr)
	}
}

func TestVerifyUsage(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "out.jsonl")
	good := `{"answer": "1", "response": "1"}` + "\n"
	for _, c := range []struct{ kind, rows, want string }{
		{"gsm8k", good + `{"answer": "1"`, "line 2: unexpected end of JSON"},
		{"gsm8k", good + `{"answer": "1"}`, `line 2: no "response"`},
		{"gsm8k", good + good + `{"response": "1"}`, `line 3: no "answer"`},
		{"gsm8k", good + `{"answer": null, "response": "1"}`, `line 2: "answer" is not a text`},
		{"gsm8k", good + `{"answer": "1", "response": 1}`, `line 2: "response" is not a text`},
		{"gsm8k", good + "\n" + good, `line 2: empty`},
		{"gsm8k", `[1]`, `line 1: `},
		{"poetry", good, `unknown kind "poetry"`},
	} {
		if err := os.WriteFile(in, []byte(c.rows), 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := ft(t, "verify", "--kind", c.kind, "--in", in, "--out", out)
		if code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, %s", c.rows, code, stderr)
		}
		if files, _ := filepath.Glob(out + "*"); files != nil {
			t.Errorf("%s: left %s", c.rows, files)
		}
	}
}

func TestVerifyCode(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "rows.jsonl")
	put := func(rows string) {
		if err := os.WriteFile(in, []byte(rows), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for rows, want := range map[string]string{
		`{"response": "x"}`: `line 1: no "tests"`, `{"tests": "x"}`: `line 1: "response" is not a text`, `{"response": "x", "tests": 1}`: `line 1: "tests" is neither`,
		`{"response": "x", "tests": ""}`: `line 1: "tests" is empty`, `{"response": "x", "tests": "x", "language": "perl"}`: `line 1: unknown language "perl"`,
	} {
		put(rows)
		if code, _, stderr := ft(t, "verify", "--kind", "code", "--in", in); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", rows, code, stderr)
		}
	}
	if err := sandbox.Available(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	put(`{"response": "So:\n` + "```python" + `\ndef add(a, b): return a + b\n` + "```" + `", "tests": "assert add(1, 2) == 3"}
{"response": "    return a - b", "prompt": "def add(a, b):\n", "entry_point": "add", "tests": "def check(f): assert f(1, 2) == 3"}
{"response": "print(input())", "tests": [{"stdin": "a", "stdout": "a"}]}
{"response": "open('/etc/passwd')", "tests": "pass"}
`)
	code, stdout, stderr := ft(t, "verify", "--kind", "code", "--in", in)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for i, want := range []codeVerdict{{Correct: true}, {Reason: "wrong output"}, {Correct: true}, {Reason: "exit"}} {
		var got codeVerdict
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil || got.Correct != want.Correct || got.Reason != want.Reason || *got.Extracted == "" {
			t.Errorf("line %d: %s", i+1, lines[i])
		}
	}
}
