package jupyter

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

func TestMessageRoundTrip(t *testing.T) {
	key := []byte("secret")
	parent, err := NewMessage("execute_request", "front", nil, map[string]any{"code": "1+2"})
	if err != nil {
		t.Fatal(err)
	}
	parent.IDs = [][]byte{{0, 1, 2}, []byte("client")}
	m, err := NewMessage("execute_reply", "kernel", parent, map[string]string{"status": "ok"})
	if err != nil {
		t.Fatal(err)
	}
	m.Buffers = [][]byte{{9, 8, 7}}
	got, err := Parse(m.Frames(key), key)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v\nwant %+v", got, m)
	}
	if got.Answer.ID != parent.Head.ID || got.Answer.Session != "front" || got.Head.Session != "kernel" {
		t.Errorf("headers %+v, %+v", got.Head, got.Answer)
	}
}

func TestParseRefuses(t *testing.T) {
	key := []byte("secret")
	m, err := NewMessage("status", "s", nil, map[string]string{"execution_state": "idle"})
	if err != nil {
		t.Fatal(err)
	}
	good := m.Frames(key)
	if _, err := Parse(good, []byte("another")); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	for i := 1; i < len(good); i++ { // a change in the signature or in any part
		changed := slices.Clone(good)
		changed[i] = append([]byte(" "), good[i]...)
		if _, err := Parse(changed, key); !errors.Is(err, ErrSignature) {
			t.Errorf("frame %d changed: %v", i, err)
		}
	}
	for n := range len(good) {
		if _, err := Parse(good[:n], key); err == nil {
			t.Errorf("%d frames of %d: no error", n, len(good))
		}
	}
	m.Content = []byte("{")
	if _, err := Parse(m.Frames(key), key); err == nil {
		t.Error("content that is not JSON: no error")
	}
}

func FuzzParse(f *testing.F) {
	key := []byte("k")
	f.Add([]byte(`{"msg_type":"a"}`), []byte(`{}`), []byte(`{}`), []byte(`{}`), 5)
	f.Add([]byte(`{"msg_type":1}`), []byte(`[]`), []byte(``), []byte(`null`), 2)
	f.Fuzz(func(t *testing.T, a, b, c, d []byte, n int) {
		m := Message{IDs: [][]byte{a}, Header: a, Parent: b, Metadata: c, Content: d}
		frames := m.Frames(key)
		if got, err := Parse(frames, key); err == nil && got.Head.Type == "" {
			t.Errorf("a message without a type was taken: %q", frames)
		}
		Parse(frames[:max(0, min(n, len(frames)))], key) // must not panic
	})
}
