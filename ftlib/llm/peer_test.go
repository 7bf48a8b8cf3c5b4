package llm

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// peftScript loads base and adapter with PEFT, and the merged directory with
// transformers, and writes the logits of both.
const peftScript = `
import sys, torch, warnings
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from peft import PeftModel
base, adapter, merged, ids, out = sys.argv[1:]
x = load_file(ids)["input_ids"].long()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    m = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
assert not [w for w in seen if "missing" in str(w.message).lower()], [str(w.message) for w in seen]
f = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
with torch.no_grad():
    save_file({"adapter": m(x).logits.contiguous(), "merged": f(x).logits.contiguous()}, out)
`

// Adapters and merged models that are written here load in PEFT and transformers and
// give the same logits. It needs a Python with both, named by FTLAB_PYTHON; the
// recorded cases (TestGoldenLoRA) always run.
func TestPEFTReadsOurAdapters(t *testing.T) {
	python := os.Getenv("FTLAB_PYTHON")
	if python == "" {
		t.Skip("SKIPPED: FTLAB_PYTHON does not name a Python with torch, transformers and peft")
	}
	if err := exec.Command(python, "-c", "import torch, peft, transformers").Run(); err != nil {
		t.Skipf("SKIPPED: %s has no torch, transformers and peft", python)
	}
	base := filepath.Dir(testkit.Golden(t, "models/llama/config.json"))
	phi := filepath.Dir(testkit.Golden(t, "models/phi/config.json"))
	for name, c := range map[string]struct {
		base string
		spec ftlib.LoRA
	}{
		"all-linear":    {base, ftlib.LoRA{R: 4}},
		"rslora":        {base, ftlib.LoRA{R: 8, Alpha: 16, RSLoRA: true, Targets: []string{"q_proj", "down_proj"}}},
		"dora":          {base, ftlib.LoRA{R: 4, DoRA: true, Targets: []string{"v_proj", "up_proj"}}},
		"phi, biases":   {phi, ftlib.LoRA{R: 4, Bias: "all", Targets: []string{"q_proj", "fc1", "dense"}}},
		"regexp target": {base, ftlib.LoRA{R: 4, Targets: []string{`model\.layers\.1\.self_attn\.[qk]_proj`}}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Load(goBackend(t), c.base, LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			a, err := m.NewAdapter(c.spec, 1)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 5))
			stir(t, m, rng)
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			if err := a.Save(at("adapter"), c.base); err != nil {
				t.Fatal(err)
			}
			if err := m.SaveMerged(at("merged"), safetensors.F32); err != nil {
				t.Fatal(err)
			}
			batch := randomBatch(rng, 1, 15, m.Config.Vocab)
			var ids []float32
			for _, id := range batch.IDs {
				ids = append(ids, float32(id))
			}
			x, err := safetensors.FromFloat32s("input_ids", safetensors.F32, []int{1, 15}, ids)
			if err != nil {
				t.Fatal(err)
			}
			if err := safetensors.Write(at("ids.safetensors"), []safetensors.Tensor{x}, nil); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(python, "-c", peftScript, c.base, at("adapter"), at("merged"), at("ids.safetensors"), at("out.safetensors"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			f, err := safetensors.Open(at("out.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			ours := logitsOf(t, m, batch)
			for _, key := range []string{"adapter", "merged"} {
				l, err := f.Tensor(key)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := l.Float32s()
				if err != nil {
					t.Fatal(err)
				}
				if d, _ := worst(ours, theirs); d > 2e-4 {
					t.Errorf("%s: logits differ by %g", key, d)
				}
			}
		})
	}
}
