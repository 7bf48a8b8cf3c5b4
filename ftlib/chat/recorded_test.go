package chat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ownTemplates are those below testdata, written for these tests.
func ownTemplates(t *testing.T) []*Template {
	t.Helper()
	files, err := filepath.Glob("testdata/*.jinja")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates below testdata (%v)", err)
	}
	var out []*Template
	for _, f := range files {
		tmpl, err := Find(f, "")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tmpl.With(Options{BOS: "<s>", EOS: "</s>"}))
	}
	return out
}

// recordedConversations are the conversations of testdata/conversations.jsonl.
func recordedConversations(t *testing.T) [][]Message {
	t.Helper()
	data, err := os.ReadFile("testdata/conversations.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out [][]Message
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		msgs, err := ParseMessages([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, msgs)
	}
	return out
}

// The built-in templates and those below testdata render as transformers rendered them
// (recorded in testdata/recorded.json).
func TestRecordedRenderings(t *testing.T) {
	var all []*Template
	for _, name := range Builtins() {
		tmpl, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tmpl)
	}
	all = append(all, ownTemplates(t)...)
	var jobs []job
	var of []*Template
	for _, tmpl := range all {
		for _, msgs := range recordedConversations(t) {
			for _, prompt := range []bool{false, true} {
				j := job{Source: tmpl.Source(), Tokens: tmpl.tokens(), Messages: msgs, Prompt: prompt}
				if strings.HasPrefix(tmpl.Name(), "tools") {
					j.Tools = someTools()
				}
				jobs, of = append(jobs, j), append(of, tmpl)
			}
		}
	}
	const file = "testdata/recorded.json"
	if *update {
		var b strings.Builder
		b.WriteString("[\n")
		for i, a := range askTransformers(t, jobs) {
			line, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				b.WriteString(",\n")
			}
			b.Write(line)
		}
		b.WriteString("\n]\n")
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []answer
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(jobs) {
		t.Fatalf("%d recorded renderings for %d cases: record them again with -update", len(want), len(jobs))
	}
	for i, w := range want {
		compare(t, of[i], jobs[i], w)
	}
}
