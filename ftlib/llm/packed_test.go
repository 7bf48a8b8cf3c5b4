package llm

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/quant"
)

// dumpEnv makes TestOneDequantisedHalf the process that compiles.
const dumpEnv = "FTLAB_TEST_DUMP"

// By the compiler's own report, the places in memory for dequantised halves of one shape
// are one in each program: none outlives its product. The head never holds all of a
// vocabulary in half precision as float32.
func TestOneDequantisedHalf(t *testing.T) {
	if os.Getenv(dumpEnv) != "" {
		compileQuantised(t)
		return
	}
	if !backend.Survey().Candidate(backend.CPU).Usable {
		t.Skip("XLA on the processor is missing: scripts/lab --setup installs it")
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOneDequantisedHalf$")
	cmd.Env = append(os.Environ(), dumpEnv+"=1", backend.Env+"="+backend.CPU, "XLA_FLAGS=--xla_dump_to="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for program, shapes := range map[string][]string{
		"block_forward": {"f32[704,512]", "f32[256,1408]", "f32[256,512]"},
		"block_re":      {"f32[704,512]", "f32[256,1408]", "f32[256,512]"},
		"head":          {"f32[40000,512]"},
	} {
		files, _ := filepath.Glob(filepath.Join(dir, "*"+program+"*memory-usage-report.txt"))
		if len(files) == 0 {
			t.Errorf("no report of %s", program)
		}
		for _, file := range files {
			report, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, shape := range shapes {
				want, places := 1, 0
				if program == "head" {
					want = 0
				}
				for line := range strings.Lines(string(report)) {
					if strings.Contains(line, shape) {
						places++
					}
				}
				if places != want {
					t.Errorf("%s: %d places for %s, want %d:\n%s", program, places, shape, want, report)
				}
			}
		}
	}
}

func compileQuantised(t *testing.T) {
	b, err := backend.Open(backend.CPU)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig([]byte(`{"model_type": "llama", "vocab_size": 40000, "hidden_size": 512, "num_hidden_layers": 1, "num_attention_heads": 4,
		"num_key_value_heads": 4, "intermediate_size": 1408, "max_position_embeddings": 64}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(b, c, 1, LoadOptions{DType: dtypes.BFloat16, Quantize: &QuantOptions{Config: quant.Config{Double: true}, Compute: dtypes.Float32}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	withAdapter(t, m, ftlib.LoRA{R: 4})
	e, err := NewEngine(m, EngineOptions{Keep: KeepInputs})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Prepare(randomBatch(rand.New(rand.NewPCG(1, 1)), 1, 48, c.Vocab), NLL, true); err != nil {
		t.Fatal(err)
	}
}
