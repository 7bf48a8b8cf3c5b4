package main

import (
	"strings"
	"testing"
)

func TestEvalUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"eval", `required flag(s) "data", "model" not set`},
		{"eval --model nowhere --data rows.jsonl", "model.path: llm: stat nowhere"},
		{"eval --model . --data rows.jsonl extra", "unknown command"},
	} {
		if code, _, stderr := ft(t, strings.Fields(c.args)...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("ft %s: exit code %d, %s", c.args, code, stderr)
		}
	}
}
