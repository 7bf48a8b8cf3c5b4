package device_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/kernel/device"
)

func TestKeepBindDrop(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	a := client(t, addr)
	if err := a.Keep(map[string]compute.Buffer{"m/w": upload(t, a, 1, 2), "m/v": upload(t, a, 3), "mm": upload(t, a, 4)}); err != nil {
		t.Fatal(err)
	}
	a.Finalize() // the first program ends

	b := client(t, addr)
	m, err := b.Bind("m")
	if err != nil {
		t.Fatal(err)
	}
	if len(m) != 2 || !slices.Equal(read(t, m["m/w"]), []float32{1, 2}) || !slices.Equal(read(t, m["m/v"]), []float32{3}) {
		t.Fatalf("bound %v", m)
	}
	if all, err := b.Bind(""); err != nil || len(all) != 3 {
		t.Errorf("Bind of everything: %v, %v", all, err)
	}
	if dropped, err := b.Drop("m"); err != nil || len(dropped) != 2 || dropped[0].Name != "m/v" {
		t.Errorf("Drop: %v, %v", dropped, err)
	}
	if kept, err := b.List(); err != nil || len(kept) != 1 || kept[0].Name != "mm" || kept[0].Shape.Size() != 1 {
		t.Errorf("List: %v, %v", kept, err)
	}
	if got := read(t, m["m/w"]); got[1] != 2 { // still used here
		t.Errorf("a dropped buffer that is in use holds %v", got)
	}
	if none, err := b.Bind("nothing"); err != nil || none == nil || len(none) != 0 {
		t.Errorf("Bind of nothing: %v, %v", none, err)
	}
	if st := s.Stats(); st.KeptBytes != 4 || st.Kept != 1 {
		t.Errorf("%+v", st)
	}
}

// A snapshot is bound as a whole while another program rebinds it.
func TestKeepIsAtomic(t *testing.T) {
	_, addr := serve(t, goBackend(t), device.Options{})
	writer, reader := client(t, addr), client(t, addr)
	keep := func(v float32) {
		x, y := upload(t, writer, v), upload(t, writer, v)
		if err := writer.Keep(map[string]compute.Buffer{"x": x, "y": y}); err != nil {
			t.Error(err)
		}
		x.Finalize()
		y.Finalize()
	}
	keep(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			keep(float32(i))
		}
	})
	for range 200 {
		m, err := reader.Bind("")
		if err != nil {
			t.Fatal(err)
		}
		if x, y := read(t, m["x"]), read(t, m["y"]); x[0] != y[0] {
			t.Fatalf("half of two snapshots: %v and %v", x, y)
		}
		m["x"].Finalize()
		m["y"].Finalize()
	}
	wg.Wait()
}

// Keep of a list with one bad buffer binds none of it.
func TestKeepAllOrNothing(t *testing.T) {
	_, addr := serve(t, goBackend(t), device.Options{})
	b, other := client(t, addr), client(t, addr)
	dead := upload(t, b, 1)
	dead.Finalize()
	for what, bad := range map[string]compute.Buffer{"finalized": dead, "another session": upload(t, other, 1), "no buffer of this backend": upload(t, goBackend(t), 1)} {
		err := b.Keep(map[string]compute.Buffer{"good": upload(t, b, 1), "z": bad})
		if err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), `"z"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if kept, err := b.List(); err != nil || len(kept) != 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// Donating a kept buffer, or one that another program has bound, loses nothing.
func TestDonationKeeps(t *testing.T) {
	kinds(t, func(t *testing.T, real compute.Backend) {
		s, addr := serve(t, real, device.Options{})
		a, b := client(t, addr), client(t, addr)
		w := upload(t, a, 1, 2)
		if err := a.Keep(map[string]compute.Buffer{"w": w}); err != nil {
			t.Fatal(err)
		}
		bound, err := b.Bind("w")
		if err != nil {
			t.Fatal(err)
		}
		e, y := sum(t, a, "x", 2, 3), upload(t, a, 10, 10)
		if got := read(t, execute(t, e, []bool{true, false}, w, y)); !slices.Equal(got, []float32{13, 16}) {
			t.Errorf("3w+10 = %v", got)
		}
		if err := w.ToFlatData(make([]float32, 2)); err == nil {
			t.Error("a donated buffer can still be read by the one who donated it")
		}
		if got := read(t, bound["w"]); !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("the other program's buffer is now %v", got)
		}
		again, err := a.Bind("w")
		if err != nil || !slices.Equal(read(t, again["w"]), []float32{1, 2}) {
			t.Fatalf("the kept buffer: %v, %v", again, err)
		}
		// One buffer twice, once donated; and a donation that nobody minds.
		x := upload(t, a, 1, 1)
		if got := read(t, execute(t, e, []bool{true, false}, x, x)); !slices.Equal(got, []float32{4, 4}) {
			t.Errorf("3x+x = %v", got)
		}
		before := s.Stats().Buffers
		execute(t, e, []bool{true, true}, upload(t, a, 1, 1), upload(t, a, 1, 1)).Finalize()
		if _, err := a.Stats(); err != nil { // carries the Finalize
			t.Fatal(err)
		}
		if after := s.Stats().Buffers; after > before {
			t.Errorf("%d buffers before a donating execution, %d after", before, after)
		}
	})
}
