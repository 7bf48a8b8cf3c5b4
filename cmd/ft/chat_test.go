package main

import (
	"bytes"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

func TestChatInAPipe(t *testing.T) {
	dir := testkit.SharedData(t, "stories260K")
	talkTo := func(input string, args ...string) (string, string) {
		root := rootCmd()
		var stdout, stderr bytes.Buffer
		root.SetIn(strings.NewReader(input))
		root.SetOut(&stdout)
		root.SetErr(&stderr)
		root.SetArgs(append([]string{"chat", "--model", dir, "--backend", "go", "--template", "guanaco", "--temperature", "0", "--max-new", "12"}, args...))
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		return stdout.String(), stderr.String()
	}
	twice, _ := talkTo("Lily\n/reset\nLily\n")
	lines := strings.Split(strings.TrimSpace(twice), "\n")
	if n := len(lines); n%2 != 0 || strings.Join(lines[:n/2], "\n") != strings.Join(lines[n/2:], "\n") {
		t.Errorf("after /reset the same message has another answer: %q", twice)
	}
	once, _ := talkTo("Lily") // no line end
	if strings.TrimSpace(once) != strings.Join(lines[:len(lines)/2], "\n") {
		t.Errorf("%q, want the first half of %q", once, twice)
	}
	out, notes := talkTo("/temp nonsense\n/top-p 3\n/nothing\n/show\n/max 3\n/show\n/adapter on\n/quit\nLily\n")
	if out != "" {
		t.Errorf("after /quit: %q", out)
	}
	for _, want := range []string{`/temp "nonsense"`, "top_p is 3", "There is no /nothing", "max 12", "max 3", "There is no adapter"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes lack %q: %s", want, notes)
		}
	}
}
