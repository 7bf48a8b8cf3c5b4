package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/optim"
	"ftlab/ftlib/quant"
)

// memoryBenches measure one QLoRA step each in a process of its own: adapters of rank 16
// on all linear layers, double-quantised NF4, one row, random weights.
var memoryBenches = []bench{
	{"7b_256", func(o options) (result, error) { return memoryBench("7b_256", "7b", 256) }},
	{"7b_512", func(o options) (result, error) { return memoryBench("7b_512", "7b", 512) }},
	{"1b_512", func(o options) (result, error) { return memoryBench("1b_512", "1b", 512) }},
	{"13b_256", func(o options) (result, error) { return memoryBench("13b_256", "13b", 256) }},
}

var memoryShapes = map[string]string{
	"1b":  `{"model_type":"llama","vocab_size":32000,"hidden_size":2048,"num_hidden_layers":22,"num_attention_heads":32,"num_key_value_heads":4,"intermediate_size":5632,"max_position_embeddings":2048}`,
	"7b":  `{"model_type":"llama","vocab_size":32000,"hidden_size":4096,"num_hidden_layers":32,"num_attention_heads":32,"intermediate_size":11008,"max_position_embeddings":4096}`,
	"13b": `{"model_type":"llama","vocab_size":32000,"hidden_size":5120,"num_hidden_layers":40,"num_attention_heads":40,"intermediate_size":13824,"max_position_embeddings":4096}`,
}

// memoryReport is what a worker prints.
type memoryReport struct {
	Load    float64 `json:"load_s"`
	Compile float64 `json:"compile_s"`
	Step    float64 `json:"step_s"`
	Loss    float64 `json:"loss"`
}

func memoryBench(name, shape string, tokens int) (result, error) {
	cmd := exec.Command(os.Args[0], "-worker", "memory", shape, strconv.Itoa(tokens))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", name, err)
	}
	var r memoryReport
	if err := json.Unmarshal(out, &r); err != nil {
		return result{}, fmt.Errorf("%s: %w", name, err)
	}
	return result{Name: name, MS: 1000 * r.Step, PeakGiB: peakOf(cmd), CompileS: r.Compile, Rounds: 1}, nil
}

// memoryStep is the worker: SHAPE TOKENS [LAYERS [COMPUTE]].
func memoryStep(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("memory: SHAPE TOKENS [LAYERS [COMPUTE]]")
	}
	tokens, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	debug.SetGCPercent(50)
	b, err := backend.Open("")
	if err != nil {
		return err
	}
	c, err := llm.ParseConfig([]byte(memoryShapes[args[0]]))
	if err != nil {
		return err
	}
	if len(args) > 2 {
		if c.Layers, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
		c.Windows = c.Windows[:c.Layers]
	}
	q := &llm.QuantOptions{Config: quant.Config{Double: true}, Compute: dtypes.Float32}
	if len(args) > 3 && args[3] == "bfloat16" {
		q.Compute = dtypes.BFloat16
	}
	var r memoryReport
	start := time.Now()
	lap := func() float64 {
		s := time.Since(start).Seconds()
		start = time.Now()
		return s
	}
	m, err := llm.New(b, c, 1, llm.LoadOptions{DType: dtypes.BFloat16, Quantize: q})
	if err != nil {
		return err
	}
	if _, err := m.NewAdapter(ftlib.LoRA{R: 16}, 1); err != nil {
		return err
	}
	debug.FreeOSMemory()
	r.Load = lap()
	e, err := llm.NewEngine(m, llm.EngineOptions{Recompute: true})
	if err != nil {
		return err
	}
	o, err := optim.NewAdamW(b)
	if err != nil {
		return err
	}
	batch := textBatch(tokens, c.Vocab)
	decays := func(string) bool { return false }
	err = llm.Parallel(
		func() error { return e.Prepare(batch, llm.NLL, true) },
		func() error { return o.Prepare(e, e.Groups()[0], decays) })
	if err != nil {
		return err
	}
	r.Compile = lap()
	t, err := e.Accumulate(batch, llm.NLL, 1/float32(tokens), 1)
	if err != nil {
		return err
	}
	squares, err := e.GradSquares()
	if err != nil {
		return err
	}
	for _, group := range e.Groups() {
		h := optim.Hyper{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 1, Step: 1}
		if err := o.Step(e, group, h, math.Sqrt(squares), decays); err != nil {
			return err
		}
	}
	r.Step, r.Loss = lap(), t.Loss/t.Tokens
	return json.NewEncoder(os.Stdout).Encode(r)
}

// textBatch is one row of random tokens, all trained.
func textBatch(tokens, vocab int) *corpus.Batch {
	batch := &corpus.Batch{B: 1, T: tokens}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range tokens {
		batch.IDs, batch.Pos, batch.Seg = append(batch.IDs, int32(rng.IntN(vocab))), append(batch.Pos, int32(i)), append(batch.Seg, 1)
		batch.Mask = append(batch.Mask, min(1, float32(i)))
	}
	return batch
}
