package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/chat"
	"ftlab/internal/testkit"
)

// ft runs the command line and returns exit code, output and messages.
func runRender(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, msg bytes.Buffer
	code := run(context.Background(), args, &out, &msg)
	return code, out.String(), msg.String()
}

func conversationsFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

type renderedLine struct {
	Text  string
	Spans []chat.Span
	Error string
}

func readRendered(t *testing.T, data string) []renderedLine {
	t.Helper()
	var out []renderedLine
	for _, line := range strings.Split(strings.TrimSpace(data), "\n") {
		var r renderedLine
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if got := chat.Text(r.Spans); got != r.Text {
			t.Errorf("spans give %q, text is %q", got, r.Text)
		}
		out = append(out, r)
	}
	return out
}

// ft render over the golden conversations gives the golden texts and errors.
func TestGoldenRender(t *testing.T) {
	for _, name := range []string{"zephyr", "qwen_chatml", "llama2_chat", "phi3"} {
		var g struct {
			Conversations []json.RawMessage
			Chat          []struct {
				Conversation int
				Prompt       bool `json:"add_generation_prompt"`
				Text, Error  string
			}
		}
		testkit.GoldenJSON(t, "tokenizers/"+name+"_io.json", &g)
		var lines []string
		for _, c := range g.Conversations {
			var b bytes.Buffer
			if err := json.Compact(&b, c); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, b.String())
		}
		in := conversationsFile(t, lines...)
		for _, prompt := range []bool{false, true} {
			file := filepath.Join(t.TempDir(), "out.jsonl")
			args := []string{"render", "--tokenizer", testkit.Golden(t, "tokenizers/"+name), "--in", in, "--out", file}
			if prompt {
				args = append(args, "--generation-prompt")
			}
			if code, _, msg := runRender(t, args...); code != exitOK {
				t.Fatalf("%s: exit %d: %s", name, code, msg)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := readRendered(t, string(data))
			for _, c := range g.Chat {
				if c.Prompt == prompt && (got[c.Conversation].Text != c.Text || got[c.Conversation].Error != c.Error) {
					t.Errorf("%s, conversation %d: %+v, want %q %s", name, c.Conversation, got[c.Conversation], c.Text, c.Error)
				}
			}
		}
	}
}

func TestRenderFlags(t *testing.T) {
	in := conversationsFile(t, `[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]`, "", `[{"role":"assistant","content":"A"}]`)
	code, out, msg := runRender(t, "render", "--template", "llama-2", "--in", in, "--bos", "B", "--eos", "E")
	got := readRendered(t, out)
	if code != exitOK || len(got) != 2 || got[0].Text != "B[INST] Q [/INST] A E" || !strings.HasPrefix(got[1].Error, "TemplateError: ") || !strings.Contains(msg, "1 of 2") {
		t.Errorf("exit %d, %+v, %s", code, got, msg)
	}
	dir := t.TempDir()
	dated := filepath.Join(dir, "dated.jinja")
	if err := os.WriteFile(dated, []byte(`{{ strftime_now("%Y-%m-%d") }}`), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, _ = runRender(t, "render", "--template", dated, "--in", in, "--now", "2026-11-23")
	if got := readRendered(t, out); code != exitOK || got[0].Text != "2026-11-23" {
		t.Errorf("exit %d, %+v", code, got)
	}
	// An empty BOS that was given is defined; one that was not is undefined, and adding to
	// it is an error.
	asked := filepath.Join(dir, "asked.jinja")
	if err := os.WriteFile(asked, []byte(`{{ bos_token + "x" }}{{ tools | length }}`), 0o644); err != nil {
		t.Fatal(err)
	}
	in = conversationsFile(t, `{"messages":[{"role":"user","content":"Q"}],"tools":[{"a":1},{"b":2}]}`)
	code, out, _ = runRender(t, "render", "--template", asked, "--in", in, "--bos", "")
	if got := readRendered(t, out); code != exitOK || got[0].Text != "x2" {
		t.Errorf("exit %d, %+v", code, got)
	}
	code, out, _ = runRender(t, "render", "--template", asked, "--in", in)
	if got := readRendered(t, out); code != exitOK || !strings.Contains(got[0].Error, "'bos_token' is undefined") {
		t.Errorf("exit %d, %+v", code, got)
	}
	for _, args := range [][]string{
		{"render", "--in", in},
		{"render", "--template", "llama-2"},
		{"render", "--template", "no such", "--in", in},
		{"render", "--template", "llama-2", "--in", in, "--now", "tomorrow"},
		{"render", "--template", "llama-2", "--in", in, "--train-on", "x"},
		{"render", "--template", "llama-2", "--in", filepath.Join(dir, "none")},
		{"render", "--template", "llama-2", "--in", conversationsFile(t, `{"role":"user"}`)},
	} {
		if code, _, msg := runRender(t, args...); code != exitUsage || msg == "" {
			t.Errorf("%v: exit %d, %q", args, code, msg)
		}
	}
}

// A file of another system may begin with a byte order mark and end lines with CR LF.
func TestByteOrderMark(t *testing.T) {
	path := conversationsFile(t, "\ufeff[{\"role\":\"user\",\"content\":\"a\"}]\r", "[{\"role\":\"user\",\"content\":\"b\"}]\r")
	code, out, msg := runRender(t, "render", "--template", "chatml", "--in", path)
	if code != 0 || len(readRendered(t, out)) != 2 {
		t.Errorf("exit code %d, %q %q", code, out, msg)
	}
	dir := tokenizerDir(t)
	path = conversationsFile(t, "\ufeff\"a\"\r", "\"a\"\r")
	code, out, msg = runRender(t, "tokenize", "--tokenizer", dir, "--in", path)
	if a, b, ok := strings.Cut(strings.TrimSpace(out), "\n"); code != 0 || !ok || a != b {
		t.Errorf("exit code %d, %q %q", code, out, msg)
	}
}

func TestDataShowTokens(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(rows, []byte(`{"prompt":"the ","completion":"answer"}`+"\n"+`{"prompt":"two ","completion":"words"}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := testkit.Golden(t, "tokenizers/zephyr")
	code, out, msg := runRender(t, "data", "show", rows, "--tokens", "--tokenizer", dir, "--rows", "1")
	if code != exitOK || !strings.Contains(out, "row 1 (prompt-completion)") || !strings.Contains(out, "【") || strings.Contains(out, "\x1b[") || strings.Contains(out, "row 2") {
		t.Errorf("exit %d: %s%s", code, out, msg)
	}
	code, out, msg = runRender(t, "data", "show", rows, "--tokens", "--tokenizer", dir, "--max-length", "3", "--json")
	var got []viewRow
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(got) != 2 || got[0].Cut == 0 || len(got[0].Tokens) != got[0].Trained+got[0].Context+got[0].Cut {
		t.Errorf("exit %d: %+v %s", code, got, msg)
	}
	if code, _, _ := runRender(t, "data", "show", rows, "--tokens"); code != exitUsage {
		t.Errorf("without a tokenizer: exit %d", code)
	}
}
