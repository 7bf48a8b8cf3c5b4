//go:build unix

package jupyter

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func found(t *testing.T, h *History, r HistoryRequest) string {
	t.Helper()
	got, err := h.Find(r)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(got)
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache", "history.jsonl")
	for session := 1; session <= 2; session++ {
		h, err := OpenHistory(path)
		if err != nil {
			t.Fatal(err)
		}
		for line, input := range []string{"a := 1", "b/c\n[2]", "a := 1"} {
			if err := h.Add(line+1, fmt.Sprintf("%s // %d", input, session)); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Add(4, "same"); err != nil {
			t.Fatal(err)
		}
	}
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Add(1, "third"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r    HistoryRequest
		want string
	}{
		{HistoryRequest{Access: "tail", N: 2}, "[[2 4 same] [3 1 third]]"},
		{HistoryRequest{Access: "tail", N: 1, Output: true}, "[[3 1 [third <nil>]]]"},
		{HistoryRequest{Access: "range"}, "[[3 1 third]]"},
		{HistoryRequest{Access: "range", Session: -1, Start: 3}, "[[2 3 a := 1 // 2] [2 4 same]]"},
		{HistoryRequest{Access: "range", Session: 1, Start: 1, Stop: 2}, "[[1 1 a := 1 // 1]]"},
		{HistoryRequest{Access: "search", Pattern: "s?me"}, "[[1 4 same] [2 4 same]]"},
		{HistoryRequest{Access: "search", Pattern: "s?me", Unique: true}, "[[2 4 same]]"},
		{HistoryRequest{Access: "search", Pattern: "b*2", N: 1}, "[[2 2 b/c\n[2] // 2]]"},
		{HistoryRequest{Access: "search", Pattern: "me"}, "[]"},
	} {
		if got := found(t, h, c.r); got != c.want {
			t.Errorf("%+v: %s, want %s", c.r, got, c.want)
		}
	}
	if _, err := h.Find(HistoryRequest{Access: "other"}); err == nil {
		t.Error("an unknown access type: no error")
	}
}

// Kernels write at the same time, and one was cut off in the middle of a line.
func TestHistoryShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	if err := os.WriteFile(path, []byte("{\"session\":7,\"line\":1,\"input\":\"x\"}\n{\"sess"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			h, err := OpenHistory(path)
			if err != nil {
				t.Error(err)
				return
			}
			for line := range 5 {
				if err := h.Add(line+1, "cell"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.Find(HistoryRequest{Access: "tail"})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 41 || h.session != 16 {
		t.Errorf("%d cells, want 41; this is session %d, want 16", len(all), h.session)
	}
}
