package device_test

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// On a full disk a checkpoint fails in words, the one before stays, and the server does
// not end with anything unsaved, until there is room again.
func TestFullDisk(t *testing.T) {
	check := func(t *testing.T, state string, says string) {
		addr := filepath.Join(socketDir(t), "s", "device.sock")
		t.Setenv(largestEnv, "100000")
		b, pid := startServer(t, addr, state)
		small, large := map[string][]float32{"small": {1, 2}}, map[string][]float32{"large": make([]float32, 60000)}
		keepValues(t, b, small)
		if _, err := b.Checkpoint(""); err != nil {
			t.Fatal(err)
		}
		keepValues(t, b, large)
		for range 2 {
			_, err := b.Checkpoint("")
			if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "stays as it was") || !strings.Contains(err.Error(), "make room") || !strings.Contains(err.Error(), state) {
				t.Errorf("checkpoint: %v", err)
			}
		}
		if err := b.Stop(); err == nil || !strings.Contains(err.Error(), "--discard") {
			t.Errorf("stop: %v", err)
		}
		if st, err := b.Stats(); err != nil || !strings.Contains(st.CheckpointError, says) {
			t.Errorf("%+v, %v", st, err)
		}
		if got := keptValues(t, b); len(got) != 2 || len(got["large"]) != 60000 {
			t.Errorf("%d names are kept", len(got))
		}
		if half, _ := filepath.Glob(filepath.Join(state, ".*")); len(half) > 0 {
			t.Errorf("left on the disk: %v", half)
		}
		killServer(t, pid)
		b, _ = startServer(t, addr, state)
		if got := keptValues(t, b); !same(got, small) {
			t.Errorf("restored %v", got)
		}
		keepValues(t, b, large)
		if _, err := b.Checkpoint(""); err == nil {
			t.Error("there is room all of a sudden")
		}
		if _, err := b.Drop("large"); err != nil {
			t.Fatal(err)
		}
		keepValues(t, b, map[string][]float32{"third": {3}})
		if err := b.Stop(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		b, _ = startServer(t, addr, state)
		if got := keptValues(t, b); !same(got, map[string][]float32{"small": {1, 2}, "third": {3}}) {
			t.Errorf("saved at the end: %v", got)
		}
	}
	t.Run("limit", func(t *testing.T) { check(t, filepath.Join(socketDir(t), "state"), "file too large") })
	t.Run("disk", func(t *testing.T) {
		dir := socketDir(t)
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=80k"); err != nil {
			t.Skipf("SKIPPED: a small disk can be mounted by root alone: %v", err)
		}
		defer unix.Unmount(dir, unix.MNT_DETACH)
		check(t, filepath.Join(dir, "state"), "no space left")
	})
}
