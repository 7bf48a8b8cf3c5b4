package course_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/course"
	"ftlab/internal/testkit"
)

// hub is a hub cache on disk with what the guide's projects name: small random models of the
// right families with their real tokenizers, and some rows of the real data.
type hub struct {
	t   *testing.T
	dir string
}

func (h hub) folder(kind, name string) string {
	dir := filepath.Join(h.dir, kind+"s--"+strings.ReplaceAll(name, "/", "--"), "snapshots", "0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	return dir
}

const sizes = `"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": %d,
	"max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "layer_norm_eps": 1e-5, "rope_theta": 10000, "tie_word_embeddings": false`

func (h hub) model(name, tokenizer, family string, vocabulary int) {
	h.t.Helper()
	dir := h.folder("model", name)
	if err := os.CopyFS(dir, os.DirFS(testkit.SharedData(h.t, "tokenizers/"+tokenizer))); err != nil {
		h.t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "config.json"))
	heads := 2
	if family == "phi" {
		heads = 4
	}
	classes := map[string]string{"llama": "LlamaForCausalLM", "phi": "PhiForCausalLM", "qwen2": "Qwen2ForCausalLM"}
	more := map[string]string{"llama": `"hidden_act": "silu"`, "phi": `"hidden_act": "gelu_new", "partial_rotary_factor": 0.5`, "qwen2": `"hidden_act": "silu"`}
	c, err := llm.ParseConfig(fmt.Appendf(nil, `{"model_type": %q, "architectures": [%q], "vocab_size": %d, %s, %s}`,
		family, classes[family], vocabulary, fmt.Sprintf(sizes, heads), more[family]))
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := backend.Open("")
	if err != nil {
		h.t.Skipf("SKIPPED: no backend: %v", err)
	}
	m, err := llm.New(b, c, 1, llm.LoadOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(dir, safetensors.F32); err != nil {
		h.t.Fatal(err)
	}
}

func (h hub) rows(name, file string, lines []string) {
	h.t.Helper()
	path := filepath.Join(h.folder("dataset", name), file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// lines are the first n lines of a file of the real data.
func (h hub) lines(name string, n int) (lines []string) {
	h.t.Helper()
	f, err := os.Open(testkit.SharedData(h.t, name))
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			h.t.Fatal(err)
		}
	}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for len(lines) < n && s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines
}

func object(v map[string]any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// The notebooks of the guide's projects with the profile that names real models and data:
// every cell, as a program, from a hub cache and without a network. A few steps only.
func TestFullProfile(t *testing.T) {
	h := hub{t, t.TempDir()}
	for _, p := range []struct {
		notebook string
		prepare  func()
		set      string
	}{
		{"10_sft_tinyllama", func() {
			h.model("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama", "llama", 32000)
			var rows []string
			for _, line := range h.lines("imdb_sentences/imdb_labelled.txt", 40) {
				text, label, _ := strings.Cut(line, "\t")
				rows = append(rows, object(map[string]any{"text": text, "label": len(label) - 1}))
			}
			h.rows("stanfordnlp/imdb", "train.jsonl", rows)
		}, "data.max_length=64"},
		{"20_qlora_chat", func() {
			h.model("NousResearch/Llama-2-7b-hf", "tinyllama", "llama", 32000)
			var rows []string
			for _, line := range h.lines("chat/oa_guanaco_generations_gpt35.jsonl", 12) {
				var v map[string]any
				if err := json.Unmarshal([]byte(line), &v); err != nil {
					t.Fatal(err)
				}
				rows = append(rows, object(map[string]any{"text": fmt.Sprint(v["input"], v["output"])}))
			}
			h.rows("timdettmers/openassistant-guanaco", "train.jsonl", rows)
		}, "data.max_length=256 batch.gradient_accumulation_steps=2"},
		{"30_dpo_phi2", func() {
			h.model("microsoft/phi-2", "phi-2", "phi", 51200)
			h.rows("Anthropic/hh-rlhf", "train.jsonl", h.lines("hh-rlhf/harmless-base_test.jsonl.gz", 24))
		}, "data.max_length=128 batch.gradient_accumulation_steps=2"},
		{"40_star_reasoning", func() {
			h.model("Qwen/Qwen2.5-Math-7B", "qwen2.5", "qwen2", 151936)
			h.rows("openai/gsm8k", filepath.Join("main", "train.jsonl"), h.lines("gsm8k/train.jsonl", 12))
		}, `method.star.n_train_samples=4 method.star.samples=2 method.star.n_iters=1 method.star.max_completion_length=16 method.star.start_steps=1 ` +
			`method.star.rewards=[{"use":"format","pattern":"."}]`}, // random weights solve nothing: any answer will do
	} {
		t.Run(p.notebook, func(t *testing.T) {
			h.t = t
			p.prepare()
			out, err := runFull(t, p.notebook, h.dir, "batch.max_steps=2 eval.max_eval_rows=4 eval.eval_steps=2 "+p.set)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// runFull builds a notebook as a program, outside of the checkout, and runs it.
func runFull(t *testing.T, name, cache, set string) (string, error) {
	root, dir := testkit.Root(), t.TempDir()
	text, err := os.ReadFile(filepath.Join(root, "notebooks", "source", name+".md"))
	if os.IsNotExist(err) { // it is not ready, but what it does with real models is
		text, err = os.ReadFile(filepath.Join(root, "notebooks", "drafts", name+".md"))
	}
	if err != nil {
		t.Fatal(err)
	}
	cells, err := course.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte(course.Program(cells, true)), 0o644); err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json") // a package of this module that is on no disk
	replace := object(map[string]any{"Replace": map[string]string{filepath.Join(root, "notebooks", "program", "main.go"): source}})
	if err := os.WriteFile(overlay, []byte(replace), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-overlay", overlay, "-o", filepath.Join(dir, "program"), "./notebooks/program")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return string(out), err
	}
	for _, link := range []string{"models", "datasets", "docs"} {
		if err := os.Symlink(filepath.Join(root, link), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.Command(filepath.Join(dir, "program"))
	run.Dir = filepath.Join(dir, "notebooks")
	if err := os.Mkdir(run.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run.Env = append(os.Environ(), "FTLAB_PROFILE=full", "FTLAB_SET="+set, "HF_HUB_CACHE="+cache, "HF_HUB_OFFLINE=1", "FTLAB_PAGES=")
	out, err := run.CombinedOutput()
	return string(out), err
}
