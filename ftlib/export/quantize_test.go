package export

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/quant"
	"ftlab/internal/testkit"
)

// A quantised model goes out in full size only when told to, with the adapter folded into
// what its weights stand for; its own files stay.
func TestDequantize(t *testing.T) {
	src := filepath.Dir(testkit.Golden(t, "models/llama/config.json"))
	dir := t.TempDir()
	small := filepath.Join(dir, "small")
	if _, err := Quantize(src, small, llm.QuantOptions{Config: quant.Config{Double: true}}, Receipt{}); err != nil {
		t.Fatal(err)
	}
	if _, problems, notes, err := Check(small); err != nil || len(problems)+len(notes) > 0 {
		t.Errorf("checked at once: %v %v %v", problems, notes, err)
	}
	m := load(t, small)
	if q := m.Quantized(); q == nil || q.Type != quant.NF4 || !q.Double {
		t.Fatalf("quantised as %+v", q)
	}
	// OLoRA begins with B of the weights themselves: as plain LoRA it changes them.
	a, err := load(t, src).NewAdapter(ftlib.LoRA{R: 4, Init: "olora"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	adapter := filepath.Join(dir, "adapter")
	if err := a.Save(adapter, src); err != nil {
		t.Fatal(err)
	}
	if _, err := m.LoadAdapter(adapter); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if _, err := Write(m, out, Options{}); err == nil || !strings.Contains(err.Error(), "--dequantize") {
		t.Errorf("not told to dequantise: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("what was refused left a directory")
	}
	r, err := Write(m, out, Options{Dequantize: true, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Checked.LargestDifference > 1e-4 || r.Checked.LargestLogit == 0 {
		t.Errorf("%+v", r.Checked)
	}
	full := load(t, out)
	if full.Quantized() != nil {
		t.Error("what was written is quantised")
	}
	// Where the adapter is not, weights are those that the codes stand for.
	name := "model.layers.0.mlp.down_proj.weight"
	m.SetAdapter(nil)
	values, err := m.Folded().Values(name)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Weight(name)
	if err != nil || !slices.Equal(values, want) {
		t.Errorf("%s is not what its codes stand for (%v)", name, err)
	}
	if have, err := full.Weight(name); err != nil || slices.Equal(have, want) || math.IsNaN(float64(have[0])) {
		t.Errorf("the adapter is not in %s (%v)", name, err)
	}
}
