package llm

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/safetensors"
)

// kindsScript loads our adapters with PEFT, makes adapters of the same kinds itself,
// stirs and saves them, and combines two; the logits of all go to a file.
const kindsScript = `
import sys, json, torch, warnings, os
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import PeftModel, LoraConfig, get_peft_model
jobs, out = json.load(open(sys.argv[1])), {}
x = torch.tensor([[1, 5, 9, 3, 2, 7, 11, 4]])
base = lambda j: AutoModelForCausalLM.from_pretrained(j["base"], dtype=torch.float32)
def stir(m):
    g = torch.Generator().manual_seed(3)
    for n, p in m.named_parameters():
        if p.requires_grad:
            p.data += 0.1 * torch.randn(p.shape, generator=g)
for j in jobs["kinds"]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        b = base(j)
        if j.get("vocab"):
            b.resize_token_embeddings(j["vocab"])
        m = PeftModel.from_pretrained(b, j["ours"]).eval()
    assert not [w for w in seen if "missing" in str(w.message).lower()], [str(w.message) for w in seen]
    with torch.no_grad():
        out["ours/" + j["name"]] = m(x).logits.contiguous()
    s = {k.lower(): v for k, v in j["spec"].items() if v is not None}
    torch.manual_seed(1)
    b = base(j)
    if j.get("vocab"):
        b.resize_token_embeddings(j["vocab"])
    m = get_peft_model(b, LoraConfig(**s)).eval()
    stir(m)
    m.save_pretrained(j["theirs"])
    with torch.no_grad():
        out["theirs/" + j["name"]] = m(x).logits.contiguous()
for j in jobs.get("scores") or []:
    from transformers import AutoModelForSequenceClassification
    b = AutoModelForSequenceClassification.from_pretrained(j["base"], dtype=torch.float32, num_labels=1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        m = PeftModel.from_pretrained(b, j["ours"]).eval()
    assert not [w for w in seen if "missing" in str(w.message).lower()], [str(w.message) for w in seen]
    m.config.pad_token_id = 0
    with torch.no_grad():
        out["ours/" + j["name"]] = m(x).logits.contiguous()
    torch.manual_seed(1)
    b = AutoModelForSequenceClassification.from_pretrained(j["base"], dtype=torch.float32, num_labels=1)
    m = get_peft_model(b, LoraConfig(r=4, target_modules=["q_proj", "up_proj"], task_type="SEQ_CLS")).eval()
    m.config.pad_token_id = 0
    stir(m)
    m.save_pretrained(j["theirs"])
    with torch.no_grad():
        out["theirs/" + j["name"]] = m(x).logits.contiguous()
if jobs.get("combine") is None:
    save_file(out, sys.argv[2])
    sys.exit()
m = None
for i, p in enumerate(jobs["combine"]["adapters"]):
    if m is None:
        m = PeftModel.from_pretrained(base(jobs["combine"]), p, adapter_name="a0")
    else:
        m.load_adapter(p, "a%d" % i)
m.eval()
names = ["a%d" % i for i in range(len(jobs["combine"]["adapters"]))]
for c in jobs["combine"]["types"]:
    n = "c_" + c["name"]
    m.add_weighted_adapter(names, c["weights"], n, combination_type=c["type"], density=c.get("density"), svd_rank=c.get("rank"), majority_sign_method=c.get("majority", "total"))
    m.set_adapter(n)
    with torch.no_grad():
        out["combine/" + c["name"]] = m(x).logits.contiguous()
save_file(out, sys.argv[2])
`

// Every kind of adapter goes to PEFT and comes from PEFT with equal logits, and adapters
// are combined as PEFT's add_weighted_adapter does. It needs FTLAB_PYTHON, as
// TestPEFTReadsOurAdapters does.
func TestPEFTKinds(t *testing.T) {
	p := newKindsPeer(t)
	for _, name := range sortedKeys(adapterKinds) {
		if !strings.HasPrefix(name, "outside ") {
			p.add(name, 0)
		}
	}
	p.combine()
	p.compare()
}

// The same for embedding, head and rows of tokens, new ones among them, and for the score
// heads of reward models.
func TestPEFTOutside(t *testing.T) {
	p := newKindsPeer(t)
	for _, name := range outsideKinds() {
		p.add(name, 0)
	}
	for _, name := range []string{"outside rows", "outside rows, head", "outside tied rows", "outside embed"} {
		p.add(name, 3)
	}
	for _, model := range []string{"llama", "qwen2"} {
		p.score(model)
	}
	p.compare()
}

// kindsJob is an adapter that goes to PEFT, and one of its kind that comes from it.
type kindsJob struct {
	Name   string         `json:"name"`
	Base   string         `json:"base"`
	Ours   string         `json:"ours"`
	Theirs string         `json:"theirs"`
	Spec   map[string]any `json:"spec"`
	Vocab  int            `json:"vocab,omitempty"` // after new tokens

	model string
}

// kindsPeer collects what PEFT is to do in one process.
type kindsPeer struct {
	t      *testing.T
	python string
	dir    string
	batch  *corpus.Batch
	want   map[string][]float32
	kinds  []kindsJob
	scores []kindsJob
	both   any
}

func newKindsPeer(t *testing.T) *kindsPeer {
	python := os.Getenv("FTLAB_PYTHON")
	if python == "" || exec.Command(python, "-c", "import torch, peft, transformers").Run() != nil {
		t.Skip("SKIPPED: FTLAB_PYTHON does not name a Python with torch, transformers and peft")
	}
	return &kindsPeer{t: t, python: python, dir: t.TempDir(), batch: rowsOf([]int32{1, 5, 9, 3, 2, 7, 11, 4}), want: map[string][]float32{}}
}

func (p *kindsPeer) job(name, model string, m *Model) kindsJob {
	n := fmt.Sprint(len(p.kinds) + len(p.scores))
	j := kindsJob{Name: name, model: model, Base: m.Path, Ours: filepath.Join(p.dir, "ours", n), Theirs: filepath.Join(p.dir, "theirs", n)}
	if err := os.MkdirAll(j.Ours, 0o755); err != nil {
		p.t.Fatal(err)
	}
	return j
}

// score adds a reward model: an adapter with a score head.
func (p *kindsPeer) score(model string) {
	t := p.t
	m := loadGolden(t, model)
	a, err := m.NewAdapter(ftlib.LoRA{R: 4, Targets: []string{"v_proj", "down_proj"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.NewScoreHead(1, false, 2); err != nil {
		t.Fatal(err)
	}
	stir(t, m, rand.New(rand.NewPCG(1, 9)))
	j := p.job("score "+model, model, m)
	p.want["ours/"+j.Name] = p.scoreOf(m)
	if err := a.Save(j.Ours, m.Path); err != nil {
		t.Fatal(err)
	}
	p.scores = append(p.scores, j)
}

// scoreOf is the score at the last token.
func (p *kindsPeer) scoreOf(m *Model) []float32 {
	e, err := NewEngine(m, EngineOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	pass, err := e.Forward(p.batch, ForwardOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer pass.Close()
	s, err := pass.Scores([]int32{7})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// add makes an adapter of a kind, with more tokens in the vocabulary and rows for them.
func (p *kindsPeer) add(name string, more int) {
	t := p.t
	c := adapterKinds[name]
	m := loadGolden(t, c.model)
	if more > 0 {
		name += " new"
		if err := m.Resize(m.Config.Vocab + more); err != nil {
			t.Fatal(err)
		}
		if len(c.spec.Tokens) > 0 {
			tokens := map[string][]int{}
			for module, ids := range c.spec.Tokens {
				tokens[module] = slices.Clone(ids)
				for i := range more {
					tokens[module] = append(tokens[module], m.Config.Vocab-more+i)
				}
			}
			c.spec.Tokens = tokens
		}
	}
	a, err := m.NewAdapter(c.spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	stir(t, m, rand.New(rand.NewPCG(1, 9)))
	p.want["ours/"+name] = logitsOf(t, m, p.batch)
	j := p.job(name, c.model, m)
	if more > 0 {
		j.Vocab = m.Config.Vocab
	}
	if err := a.Save(j.Ours, m.Path); err != nil {
		t.Fatal(err)
	}
	s, err := resolve(c.spec)
	if err != nil {
		t.Fatal(err)
	}
	j.Spec = map[string]any{"r": s.R, "lora_alpha": s.Alpha, "target_modules": a.targetNames(), "use_rslora": s.RSLoRA, "task_type": "CAUSAL_LM"}
	if s.Init != "" {
		j.Spec["init_lora_weights"] = s.Init
	}
	if len(s.RankPattern) > 0 {
		j.Spec["rank_pattern"] = s.RankPattern
	}
	if len(s.AlphaPattern) > 0 {
		j.Spec["alpha_pattern"] = s.AlphaPattern
	}
	if len(s.SaveModules) > 0 {
		j.Spec["modules_to_save"] = s.SaveModules
		j.Spec["ensure_weight_tying"] = a.tie
	}
	if len(s.Tokens) > 0 {
		j.Spec["trainable_token_indices"] = s.Tokens
	}
	p.kinds = append(p.kinds, j)
}

// combine adds three adapters that are combined in every way.
func (p *kindsPeer) combine() {
	t, dir := p.t, p.dir
	m := loadGolden(t, "llama")
	var adapters []*Adapter
	var paths []string
	for i := range 3 {
		a, err := m.NewAdapter(ftlib.LoRA{R: 4, Alpha: float64(4 + 3*i)}, int64(i))
		if err != nil {
			t.Fatal(err)
		}
		stir(t, m, rand.New(rand.NewPCG(uint64(i), 4)))
		p := filepath.Join(dir, "combine", string(rune('0'+i)))
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := a.Save(p, m.Path); err != nil {
			t.Fatal(err)
		}
		adapters, paths = append(adapters, a), append(paths, p)
	}
	weights := []float64{0.7, -0.4, 1.3}
	types := map[string]Combine{
		"linear": {Type: "linear"}, "cat": {Type: "cat"}, "svd": {Type: "svd"}, "svd 6": {Type: "svd", Rank: 6},
		"ties": {Type: "ties", Density: 0.4}, "ties frequency": {Type: "ties", Density: 0.6, Majority: "frequency"}, "ties svd": {Type: "ties_svd", Density: 0.3},
		"dare_linear": {Type: "dare_linear", Density: 1}, "dare_ties": {Type: "dare_ties", Density: 1},
	}
	var list []map[string]any
	for _, name := range sortedKeys(types) {
		c := types[name]
		c.Weights = weights
		both, err := m.Combine(adapters, c)
		if err != nil {
			t.Fatal(err)
		}
		m.SetAdapter(both)
		p.want["combine/"+name] = logitsOf(t, m, p.batch)
		o := map[string]any{"name": name, "type": c.Type, "weights": weights, "majority": "total"}
		if c.Density > 0 {
			o["density"] = c.Density
		}
		if c.Rank > 0 {
			o["rank"] = c.Rank
		}
		if c.Majority != "" {
			o["majority"] = c.Majority
		}
		list = append(list, o)
	}
	p.both = map[string]any{"base": m.Path, "adapters": paths, "types": list}
}

// compare runs PEFT and compares all logits.
func (p *kindsPeer) compare() {
	t, dir, want := p.t, p.dir, p.want
	data, err := json.Marshal(map[string]any{"kinds": p.kinds, "scores": p.scores, "combine": p.both})
	if err != nil {
		t.Fatal(err)
	}
	in, out := filepath.Join(dir, "jobs.json"), filepath.Join(dir, "out.safetensors")
	if err := os.WriteFile(in, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(p.python, "-c", kindsScript, in, out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	f, err := safetensors.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, j := range append(p.kinds, p.scores...) { // what PEFT wrote
		m := loadGolden(t, j.model)
		_, err := m.LoadAdapter(j.Theirs)
		if j.Name == "pissa niter" { // drawn at random by PEFT, and not kept
			if err == nil || !strings.Contains(err.Error(), "nobody can repeat") {
				t.Errorf("%s: %v", j.Name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", j.Name, err)
			continue
		}
		if m.Labels() > 0 {
			want["theirs/"+j.Name] = p.scoreOf(m)
		} else {
			want["theirs/"+j.Name] = logitsOf(t, m, p.batch)
		}
	}
	for _, key := range sortedKeys(want) {
		x, err := f.Tensor(key)
		if err != nil {
			t.Error(err)
			continue
		}
		theirs, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		d, top := worst(want[key], theirs)
		t.Logf("%-28s logits differ by %.1e of %.3g", key, d, top)
		if d > 2e-4*max(1, top) {
			t.Errorf("%s: logits differ by %g of %g", key, d, top)
		}
	}
}
