//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestKernelUsage(t *testing.T) {
	for _, c := range []struct {
		args, want string
	}{
		{"kernel", "connection-file"},
		{"kernel -f " + filepath.Join(t.TempDir(), "none.json"), "connection file"},
		{"kernel reap", "at least 2"},
		{"kernel remove --prefix " + t.TempDir(), "no kernel ftlab"},
		{"kernel install --user --system", "none of the others"},
	} {
		code, _, stderr := ft(t, strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("ft %s: exit code %d, %q", c.args, code, stderr)
		}
	}
}
