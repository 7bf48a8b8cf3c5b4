package llm

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// quantizedScript loads directories of ours in transformers with bitsandbytes, with an
// adapter of ours on, and writes the logits.
const quantizedScript = `
import sys, torch, os
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import PeftModel
x, out = torch.tensor([[1, 5, 9, 3, 2, 7, 11, 4]]), {}
for d in sys.argv[2:]:
    m = AutoModelForCausalLM.from_pretrained(d, dtype=torch.float32).eval()
    kinds = {type(c).__name__ for c in m.modules()}
    assert kinds & {"Linear4bit", "Linear8bitLt"}, kinds
    m = PeftModel.from_pretrained(m, d + "-adapter").eval()
    with torch.no_grad():
        out[os.path.basename(d)] = m(x).logits.float().contiguous()
save_file(out, sys.argv[1])
`

// Directories that QuantizeFiles wrote load in transformers with bitsandbytes, with an
// adapter of ours on, and give equal logits. It needs FTLAB_PYTHON.
func TestQuantizedFilesInTransformers(t *testing.T) {
	python := os.Getenv("FTLAB_PYTHON")
	if python == "" || exec.Command(python, "-c", "import torch, peft, transformers, bitsandbytes").Run() != nil {
		t.Skip("SKIPPED: FTLAB_PYTHON does not name a Python with torch, transformers, peft and bitsandbytes")
	}
	c, err := ParseConfig([]byte(`{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 96, "hidden_size": 64, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu",
		"tie_word_embeddings": false}`))
	if err != nil {
		t.Fatal(err)
	}
	b, dir := testkit.Backend(t), t.TempDir()
	full, err := New(b, c, 5, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	base := filepath.Join(dir, "base")
	if err := full.Save(base, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	batch := rowsOf([]int32{1, 5, 9, 3, 2, 7, 11, 4})
	args, want := []string{"-c", quantizedScript, filepath.Join(dir, "out.safetensors")}, map[string][]float32{}
	kinds := map[string]quant.Config{"nf4": {}, "nf4_double": {Double: true}, "fp4": {Type: quant.FP4, Double: true}, "int8": {Type: quant.Int8}}
	for name, q := range kinds {
		out := filepath.Join(dir, name)
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := QuantizeFiles(base, out, QuantOptions{Config: q}); err != nil {
			t.Fatal(err)
		}
		m, err := Load(b, out, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		a, err := m.NewAdapter(ftlib.LoRA{R: 4}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, module := range a.Modules() { // else B is zero
			rows, _ := m.moduleDims(module)
			values := make([]float32, rows*4)
			for i := range values {
				values[i] = float32(math.Sin(float64(i))) * 0.05
			}
			free(a.params[module+".lora_B"])
			if err := a.put(m, module+".lora_B", values, rows, 4); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Save(out+"-adapter", out); err != nil {
			t.Fatal(err)
		}
		e, err := NewEngine(m, EngineOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if want[name], err = e.Logits(batch); err != nil {
			t.Fatal(err)
		}
		args = append(args, out)
	}
	if log, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	f, err := safetensors.Open(filepath.Join(dir, "out.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name := range kinds {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		worst, largest := 0.0, 0.0
		for i, v := range theirs {
			worst, largest = max(worst, math.Abs(float64(v-want[name][i]))), max(largest, math.Abs(float64(v)))
		}
		t.Logf("%-10s logits differ by at most %.2g of %.2g", name, worst, largest)
		// bitsandbytes on a processor multiplies four-bit weights in bfloat16, and rounds
		// activations to 8 bits for int8; that values are equal is package quant's test.
		most := 0.01 * largest
		if worst > most || largest < 0.1 {
			t.Errorf("%s: logits differ by %v", name, worst)
		}
	}
}
