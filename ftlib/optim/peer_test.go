package optim

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/safetensors"
)

const peerScript = `
import json, sys, torch
from safetensors.torch import load_file, save_file
data, spec = load_file(sys.argv[1]), json.loads(sys.argv[3])
out = {}
for kind, o in spec.items():
    params = {n: torch.nn.Parameter(data["p0." + n].clone()) for n in ("a", "b", "norm")}
    groups = [{"params": [params["a"], params["b"]], "weight_decay": o["wd"]}, {"params": [params["norm"]], "weight_decay": 0.0}]
    if kind == "adamw_torch":
        opt = torch.optim.AdamW(groups, lr=1, betas=(0.9, 0.99), eps=1e-8)
    elif kind.startswith("sgd"):
        opt = torch.optim.SGD(groups, lr=1, momentum=o["momentum"])
    elif kind == "adafactor":
        from transformers.optimization import Adafactor
        opt = Adafactor(groups, lr=1, scale_parameter=False, relative_step=False)
    else:
        import bitsandbytes as bnb
        kinds = {"adamw_8bit": bnb.optim.AdamW8bit, "lion": bnb.optim.Lion32bit, "lion_8bit": bnb.optim.Lion8bit}
        opt = kinds[kind](groups, lr=1, betas=(0.9, 0.99))
    for step in range(1, 7):
        for g in opt.param_groups:
            g["lr"] = o["lr"] / step
        for n, p in params.items():
            p.grad = data[f"g{step}." + n].clone()
        torch.nn.utils.clip_grad_norm_(params.values(), 20)
        opt.step()
        if step in (1, 6):
            for n, p in params.items():
                out[f"{kind}/{n}/{step}"] = p.detach().clone()
save_file(out, sys.argv[2])
`

// TestPeer takes six steps beside torch's AdamW and SGD, transformers' Adafactor and
// bitsandbytes' AdamW8bit and Lion, in a Python that has them, named by FTLAB_PYTHON.
func TestPeer(t *testing.T) {
	python := os.Getenv("FTLAB_PYTHON")
	if python == "" || exec.Command(python, "-c", "import bitsandbytes, transformers").Run() != nil {
		t.Skip("SKIPPED: FTLAB_PYTHON names no Python with torch, transformers and bitsandbytes")
	}
	shapes := map[string][]int{"a": {64, 80}, "b": {67, 71}, "norm": {64}}
	names := []string{"a", "b", "norm"}
	rng := rand.New(rand.NewPCG(9, 9))
	values := map[string][]float32{}
	var all []safetensors.Tensor
	for _, at := range []string{"p0.", "g1.", "g2.", "g3.", "g4.", "g5.", "g6."} {
		for _, name := range names {
			n := 1
			for _, d := range shapes[name] {
				n *= d
			}
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			values[at+name] = x
			tensor, err := safetensors.FromFloat32s(at+name, safetensors.F32, shapes[name], x)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, tensor)
		}
	}
	type setting struct {
		LR       float64 `json:"lr"`
		Decay    float64 `json:"wd"`
		Momentum float64 `json:"momentum"`
		spec     ftlib.Optim
		most     float64 // largest difference
		far      int     // weights of a thousand that may be further off: next to a tie in 8 bits, or where a sign flips
	}
	settings := map[string]setting{
		"adamw_torch":  {LR: 1e-2, Decay: 0.3, most: 1e-6},
		"sgd":          {LR: 1e-2, Decay: 0.3, spec: ftlib.Optim{Optim: "sgd"}, most: 1e-6},
		"sgd_momentum": {LR: 1e-2, Momentum: 0.9, spec: ftlib.Optim{Optim: "sgd", Momentum: 0.9}, most: 1e-6}, // torch's weight decay is not decoupled
		"adafactor":    {LR: 1e-2, Decay: 0.3, spec: ftlib.Optim{Optim: "adafactor"}, most: 1e-6},
		"lion":         {LR: 1e-3, Decay: 0.3, spec: ftlib.Optim{Optim: "lion"}, most: 1e-6, far: 1},
		// bitsandbytes' quantiser on a processor is a coarse table.
		"lion_8bit":  {LR: 1e-3, Decay: 0.3, spec: ftlib.Optim{Optim: "lion_8bit"}, most: 1e-6, far: 10},
		"adamw_8bit": {LR: 1e-2, Decay: 0.3, spec: ftlib.Optim{Optim: "adamw_8bit"}, most: 3e-4, far: 10},
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	if err := safetensors.Write(in, all, nil); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	if log, err := exec.Command(python, "-c", peerScript, in, out, string(text)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	f, err := safetensors.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for kind, c := range settings {
		o := optimizer(t, "")
		o.spec = c.spec
		w := newTable()
		for _, name := range names {
			w.value[name] = tensors.FromFlatDataAndDimensions(values["p0."+name], shapes[name]...)
		}
		for step := 1; step <= 6; step++ {
			norm := 0.0
			at := string(rune('0' + step))
			for _, name := range names {
				g := values["g"+at+"."+name]
				w.grad[name] = tensors.FromFlatDataAndDimensions(g, shapes[name]...)
				for _, v := range g {
					norm += float64(v) * float64(v)
				}
			}
			h := Hyper{LR: c.LR / float64(step), WeightDecay: c.Decay, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, Momentum: c.Momentum, MaxGradNorm: 20, Step: step}
			if err := o.Step(w, names, h, math.Sqrt(norm), func(name string) bool { return name != "norm" }); err != nil {
				t.Fatal(err)
			}
			if step != 1 && step != 6 {
				continue
			}
			worst, far, n := 0.0, 0, 0
			for _, name := range names {
				x, err := f.Tensor(kind + "/" + name + "/" + at)
				if err != nil {
					t.Fatal(err)
				}
				want, err := x.Float32s()
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range tensors.MustCopyFlatData[float32](w.value[name]) {
					d := math.Abs(float64(v - want[i]))
					worst, n = max(worst, d), n+1
					if !(d <= c.most) {
						far++
					}
				}
			}
			t.Logf("%-13s step %d: largest difference %.2g, %d of %d above %g", kind, step, worst, far, n, c.most)
			if far > c.far*n/1000 {
				t.Errorf("%s, step %d: %d weights of %d are more than %g off, up to %v", kind, step, far, n, c.most, worst)
			}
		}
	}
}
