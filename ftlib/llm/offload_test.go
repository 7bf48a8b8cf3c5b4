package llm

import (
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/ftlib"
)

// What waited in host memory is what it was: losses and gradients are bit for bit those without,
// whatever blocks keep.
func TestOffloaded(t *testing.T) {
	for _, c := range []struct {
		b    compute.Backend
		keep Keep
	}{{quick(t), KeepAll}, {quick(t), KeepHalves}, {quick(t), KeepInputs}} {
		m, err := New(c.b, streamConfig(t), 5, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		withAdapter(t, m, ftlib.LoRA{R: 4, Dropout: 0.1})
		want := everything(t, m, EngineOptions{Keep: c.keep})
		have := everything(t, m, EngineOptions{Keep: c.keep, Offload: true})
		if len(want) != len(have) {
			t.Fatalf("%d results, want %d", len(have), len(want))
		}
		for name := range want {
			if !slices.Equal(have[name], want[name]) {
				t.Errorf("keep %q: %s differs", c.keep, name)
			}
		}
	}
}
