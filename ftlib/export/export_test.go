package export

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	hfgguf "github.com/gomlx/go-huggingface/models/gguf"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

func load(t testing.TB, dir string) *llm.Model {
	t.Helper()
	m, err := llm.Load(testkit.Backend(t), dir, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func tokenizer(t testing.TB, dir string) *token.Tokenizer {
	t.Helper()
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func text(t *testing.T, m *llm.Model, tok *token.Tokenizer) string {
	t.Helper()
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{Tokenizer: tok})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	out, err := g.Generate(context.Background(), [][]int32{tok.Encode("Once upon a time", true)}, llm.Sampling{MaxNew: 60})
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Text
}

// foreign reads a GGUF file with go-huggingface instead of our reader.
type foreign struct {
	*GGUF
	m       *hfgguf.Model
	backend llm.Model
}

func (f foreign) Tensor(name string) (safetensors.Tensor, error) {
	x, err := f.m.GetTensor(f.backend.Backend, f.names[name])
	if err != nil {
		return safetensors.Tensor{}, err
	}
	values, err := tensors.CopyFlatData[float32](x.Tensor)
	if err != nil {
		return safetensors.Tensor{}, err
	}
	shape := x.Tensor.Shape().Dimensions
	if heads := turnedHeads(&f.config, name); heads > 0 {
		values = turn(values, shape[0], heads, true)
	}
	return safetensors.FromFloat32s(name, safetensors.F32, shape, values)
}

// stories260K as GGUF writes the same text when another reader reads it back.
func TestStoriesThroughAnotherReader(t *testing.T) {
	dir := filepath.Dir(testkit.SharedData(t, "stories260K/config.json"))
	m, tok := load(t, dir), tokenizer(t, dir)
	out := filepath.Join(t.TempDir(), "stories")
	if _, err := Write(m, out, Options{To: "gguf", Tokenizer: tok, Verify: true}); err != nil {
		t.Fatal(err)
	}
	f := m.Folded()
	path := filepath.Join(out, "stories-F32.gguf")
	g, err := OpenGGUF(path, f.Config, f.Names)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	theirs, err := hfgguf.NewFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if theirs.Architecture() != "llama" {
		t.Errorf("architecture %q", theirs.Architecture())
	}
	again, err := llm.LoadFrom(m.Backend, f.Config, foreign{g, theirs, *m}, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	want, got := text(t, m, tok), text(t, again, tok)
	if got != want || len(want) < 50 {
		t.Errorf("read back it writes %q, before %q", got, want)
	}
	texts := g.Meta["tokenizer.ggml.tokens"].([]string)
	for id, text := range texts {
		if piece, _ := tok.Token(int32(id)); piece != text {
			t.Fatalf("token %d is %q, in the file %q", id, piece, text)
		}
	}
	kinds := g.Meta["tokenizer.ggml.token_type"].([]int32)
	if !slices.Equal(kinds[:4], []int32{2, 3, 3, 6}) {
		t.Errorf("kinds of the first tokens: %v", kinds[:4])
	}
}

// Every family, with an adapter on, gives the same logits from what was written.
func TestFamilies(t *testing.T) {
	tok := tokenizer(t, filepath.Dir(testkit.SharedData(t, "stories260K/config.json")))
	for _, family := range []string{"llama", "mistral", "qwen2", "phi"} {
		var config map[string]any
		testkit.GoldenJSON(t, "models/"+family+"/config.json", &config)
		config["vocab_size"] = tok.Size()
		data, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		c, err := llm.ParseConfig(data)
		if err != nil {
			t.Fatal(err)
		}
		m, err := llm.New(testkit.Backend(t), c, 7, llm.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		a, err := m.NewAdapter(ftlib.LoRA{R: 4, Init: "gaussian", SaveModules: []string{"lm_head"}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{}, {ShardBytes: 20_000}, {To: "gguf", Tokenizer: tok}, {To: "gguf", DType: "q8_0", Tokenizer: tok}, {DType: "BF16"}} {
			o.Verify = true
			r, err := Write(m, filepath.Join(t.TempDir(), "out"), o)
			if err != nil {
				t.Errorf("%s %s: %v", family, o.To, err)
				continue
			}
			most := 1e-4
			if o.DType != "" {
				most = 0.1 * r.Checked.LargestLogit
			}
			if r.Checked.LargestDifference > most || r.Checked.LargestLogit == 0 {
				t.Errorf("%s %s %s: %+v", family, o.To, o.DType, r.Checked)
			}
			if o.ShardBytes > 0 && len(r.Files) < 5 {
				t.Errorf("%s: shards of %d bytes: %v", family, o.ShardBytes, r.Files)
			}
			if _, problems, _, err := Check(r.Path); err != nil || len(problems) > 0 {
				t.Errorf("%s: checked at once: %v, %v", family, problems, err)
			}
		}
		a.Close()
		m.SetAdapter(nil)
	}
}

func TestCheckFindsChanges(t *testing.T) {
	m := load(t, filepath.Dir(testkit.Golden(t, "models/llama/config.json")))
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := Write(m, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	weights := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	for _, err := range []error{os.WriteFile(weights, data, 0o644), os.Remove(filepath.Join(dir, "config.json")), os.WriteFile(filepath.Join(dir, "new"), nil, 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, problems, _, err := Check(dir)
	all := strings.Join(problems, "\n")
	for _, want := range []string{"model.safetensors has changed", "config.json is missing", "new is not in the receipt"} {
		if err != nil || !strings.Contains(all, want) {
			t.Errorf("%q is not in %q, %v", want, all, err)
		}
	}
	if _, _, _, err := Check(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no receipt.json") {
		t.Errorf("a directory without a receipt: %v", err)
	}
}

// What must not be written over is refused, and stays as it was.
func TestRefused(t *testing.T) {
	src := filepath.Dir(testkit.Golden(t, "models/llama/config.json"))
	own := filepath.Join(t.TempDir(), "own")
	if err := os.CopyFS(own, os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
	before, err := StampOf(own)
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, own)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.txt"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, want string
		o         Options
	}{
		{own, "the model that is running", Options{}}, {own + "/.", "the model that is running", Options{}}, {link, "the model that is running", Options{}},
		{full, "nothing is overwritten", Options{}},
		{filepath.Join(full, "new"), "unknown quantization or type \"Q5_1\"", Options{To: "gguf", DType: "Q5_1", Tokenizer: &token.Tokenizer{}}},
		{filepath.Join(full, "new"), "unknown quantization or type \"Q8_0\"", Options{DType: "Q8_0"}},
		{filepath.Join(full, "new"), "is not one of safetensors, gguf, ollama", Options{To: "onnx"}},
		{filepath.Join(full, "new"), "holds the tokenizer", Options{To: "gguf"}},
	} {
		if _, err := Write(m, c.dir, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.dir, err, c.want)
		}
	}
	after, err := StampOf(own)
	if err != nil || !slices.Equal(before.Files, after.Files) {
		t.Errorf("the model's files changed: %v", err)
	}
	if entries, _ := os.ReadDir(full); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// A disk that is full, here a limit on the size of files, leaves nothing behind.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv("EXPORT_INTO"); dir != "" {
		signal.Ignore(syscall.SIGXFSZ)
		m := load(t, filepath.Dir(testkit.SharedData(t, "stories260K/config.json")))
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100_000, Max: 100_000}); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{}, {To: "gguf", Tokenizer: tokenizer(t, m.Path)}, {To: "ollama", Tokenizer: tokenizer(t, m.Path)}} {
			_, err := Write(m, filepath.Join(dir, "out"), o)
			if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "nothing was written to") {
				t.Errorf("%q: %v", o.To, err)
			}
		}
		_, err := Quantize(m.Path, filepath.Join(dir, "out"), llm.QuantOptions{}, Receipt{})
		if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "nothing was written to") {
			t.Errorf("quantising: %v", err)
		}
		return
	}
	testkit.SharedData(t, "stories260K/config.json")
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "EXPORT_INTO="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFullDisk") {
		t.Errorf("%v\n%s", err, out)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}
