package llm

import (
	"testing"

	"ftlab/ftlib"
)

func TestBytes(t *testing.T) {
	m := loudModel(t, quick(t), "llama")
	n := int64(0)
	for _, name := range m.Names() {
		w, err := m.Weight(name)
		if err != nil {
			t.Fatal(err)
		}
		n += 4 * int64(len(w))
	}
	if m.Bytes() != n {
		t.Errorf("%d bytes, want %d", m.Bytes(), n)
	}
	a := withAdapter(t, m, ftlib.LoRA{R: 2, Targets: []string{"q_proj"}})
	if want := int64(2 * 4 * (2*32 + 40*2)); a.Bytes() != want || m.Bytes() != n { // two layers, A [2, 32], B [40, 2]
		t.Errorf("the adapter has %d bytes, want %d", a.Bytes(), want)
	}
}
