package tune

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
)

// tinyModel is the directory of a Llama with random weights and the tokenizer of
// letters.
func tinyModel(t *testing.T) string {
	t.Helper()
	dir := letters(t)
	b, err := backend.Open("")
	if err != nil {
		t.Skipf("SKIPPED: no backend: %v", err)
	}
	c, err := llm.ParseConfig([]byte(`{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 96, "hidden_size": 16,
		"intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
		"rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.New(b, c, 1, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(dir, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	return dir
}

func realSpec(t *testing.T, change func(*ftlib.Run)) ftlib.Run {
	model := tinyModel(t)
	rows := pairs(50)[10:] // of one length: every other one is a compilation
	r := ftlib.Run{Out: filepath.Join(t.TempDir(), "runs"), Model: ftlib.Model{Path: model}, Data: ftlib.Data{Train: jsonl(t, rows...)}}
	r.Optim.LearningRate, r.Optim.WeightDecay = 0.02, 0.01
	r.Batch.Size, r.Batch.Accumulate, r.Batch.MaxSteps = 4, 2, 6
	r.Eval.Every, r.Save.Every, r.Save.Keep = 2, 2, -1
	change(&r)
	return r
}

// TestRealModelResumesBitForBit trains a real model straight through, and again with
// an interruption, and compares every byte of weights, moments and metrics.
func TestRealModelResumesBitForBit(t *testing.T) {
	for name, change := range map[string]func(*ftlib.Run){
		"lora with dropout": func(r *ftlib.Run) { r.LoRA = &ftlib.LoRA{R: 4, Dropout: 0.2}; r.Save.Merged = true },
		"all weights in Go": func(r *ftlib.Run) { r.Data.Packing = true; r.Model.Backend = "go" },
	} {
		t.Run(name, func(t *testing.T) {
			spec := realSpec(t, change)
			spec.Name = "whole"
			whole, err := Run(context.Background(), spec, Options{})
			if err != nil || whole.Status != ckpt.Finished || whole.Step != 6 {
				t.Fatalf("%+v, %v", whole, err)
			}
			if whole.Loss >= whole.FirstLoss {
				t.Errorf("loss from %v to %v", whole.FirstLoss, whole.Loss)
			}

			spec.Name = "parts"
			ctx, cancel := context.WithCancel(context.Background())
			part, err := Run(ctx, spec, Options{Sink: ftlib.SinkFunc(func(e ftlib.Event) error {
				if e.Step == 3 {
					cancel()
				}
				return nil
			})})
			if err != nil || part.Status != ckpt.Interrupted || part.Step != 3 {
				t.Fatalf("%+v, %v", part, err)
			}
			rest, err := Resume(context.Background(), part.Dir, Options{})
			if err != nil || rest.Status != ckpt.Finished {
				t.Fatalf("%+v, %v", rest, err)
			}
			if spec.LoRA == nil {
				compareState(t, whole.Checkpoint, rest.Checkpoint)
				return
			}
			sameRun(t, whole.Dir, rest.Dir)
			for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} {
				if _, err := os.Stat(filepath.Join(rest.Checkpoint, name)); err != nil {
					t.Error(err)
				}
			}
			// What was merged is a model of its own, with its tokenizer.
			spec.Model.Adapter = whole.Checkpoint
			adapted, _, err := Score(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			spec.Model = ftlib.Model{Path: filepath.Join(whole.Dir, "merged")}
			merged, _, err := Score(context.Background(), spec)
			if err != nil || math.Abs(merged.Loss-adapted.Loss) > 1e-5 {
				t.Errorf("loss %v with the adapter, %v merged, %v", adapted.Loss, merged.Loss, err)
			}
		})
	}
}

func compareState(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(filepath.Join(a, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(filepath.Join(b, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	if string(x) != string(y) {
		t.Error("the states differ")
	}
}

func TestTokensOutsideTheVocabularyAreRefused(t *testing.T) {
	model := tinyModel(t)
	path := filepath.Join(model, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	small := strings.ReplaceAll(string(data), "96", "20")
	if err := os.WriteFile(path, []byte(small), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := specOf(model, jsonl(t, pairs(5)...))
	spec.Data.Split = -1
	if _, err := openData(spec, model); err == nil || !strings.Contains(err.Error(), "row 1") || !strings.Contains(err.Error(), "20") {
		t.Errorf("%v", err)
	}
}
