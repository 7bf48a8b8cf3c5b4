package main

import (
	"encoding/json"
	"errors"
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
	{"7b_256", func(o options) (result, error) { return memoryBench("7b_256", memoryJob{Shape: "7b", Tokens: 256}) }},
	{"7b_512", func(o options) (result, error) { return memoryBench("7b_512", memoryJob{Shape: "7b", Tokens: 512}) }},
	{"1b_512", func(o options) (result, error) { return memoryBench("1b_512", memoryJob{Shape: "1b", Tokens: 512}) }},
	{"7b_streamed", func(o options) (result, error) { return streamedBench("7b_streamed", "7b", 256) }},
	{"13b_256", func(o options) (result, error) { return memoryBench("13b_256", memoryJob{Shape: "13b", Tokens: 256}) }},
	{"growth", growthBench},
	{"bnb_f32", func(o options) (result, error) { return bnbBench("bnb_f32", "float32", o) }},
	{"bnb_bf16", func(o options) (result, error) { return bnbBench("bnb_bf16", "bfloat16", o) }},
}

var memoryShapes = map[string]string{
	"1b":  `{"model_type":"llama","vocab_size":32000,"hidden_size":2048,"num_hidden_layers":22,"num_attention_heads":32,"num_key_value_heads":4,"intermediate_size":5632,"max_position_embeddings":2048}`,
	"7b":  `{"model_type":"llama","vocab_size":32000,"hidden_size":4096,"num_hidden_layers":32,"num_attention_heads":32,"intermediate_size":11008,"max_position_embeddings":4096}`,
	"13b": `{"model_type":"llama","vocab_size":32000,"hidden_size":5120,"num_hidden_layers":40,"num_attention_heads":40,"intermediate_size":13824,"max_position_embeddings":4096}`,
}

// memoryJob is what a worker does.
type memoryJob struct {
	Shape   string `json:"shape"`
	Tokens  int    `json:"tokens"`
	Layers  int    `json:"layers,omitempty"`  // zero: those of the shape
	Compute string `json:"compute,omitempty"` // of products with quantised weights; zero: float32
	Dir     string `json:"dir,omitempty"`     // files to stream the weights from; zero: random weights in memory
}

// memoryReport is what a worker prints.
type memoryReport struct {
	Load    float64 `json:"load_s"`
	Compile float64 `json:"compile_s"`
	Step    float64 `json:"step_s"`
	Loss    float64 `json:"loss"`
	Weights int64   `json:"weights"` // bytes, adapters included, streamed ones not
	PeakGiB float64 `json:"-"`
}

// inProcess runs a worker and takes its peak.
func (job memoryJob) inProcess(name string) (r memoryReport, err error) {
	text, err := json.Marshal(job)
	if err != nil {
		return r, err
	}
	cmd := exec.Command(os.Args[0], "-worker", "memory", string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	r.PeakGiB = peakOf(cmd)
	return r, nil
}

func memoryBench(name string, job memoryJob) (result, error) {
	r, err := job.inProcess(name)
	return result{Name: name, MS: 1000 * r.Step, PeakGiB: r.PeakGiB, CompileS: r.Compile, Rounds: 1}, err
}

// streamedBench writes a quantised model and trains it from the file.
func streamedBench(name, shape string, tokens int) (result, error) {
	dir, err := os.MkdirTemp("", "ftlab-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	write := exec.Command(os.Args[0], "-worker", "memory_write", shape, dir)
	write.Stderr = os.Stderr
	if err := write.Run(); err != nil {
		return result{}, fmt.Errorf("%s: writing the model: %w", name, err)
	}
	return memoryBench(name, memoryJob{Shape: shape, Tokens: tokens, Dir: dir})
}

// growthBench is by how much the peak grows with a layer, beyond its weights and its adapters.
func growthBench(options) (result, error) {
	most := 0.0
	var last memoryReport
	depths := []int{2, 4, 8}
	for i, layers := range depths {
		r, err := memoryJob{Shape: "7b", Tokens: 256, Layers: layers}.inProcess("growth")
		if err != nil {
			return result{}, err
		}
		if i > 0 {
			beyond := (r.PeakGiB-last.PeakGiB)*(1<<30) - float64(r.Weights-last.Weights)
			most = max(most, beyond/(1<<20)/float64(layers-depths[i-1]))
		}
		last = r
	}
	return result{Name: "growth", Ours: most, Unit: "MiB/layer", Better: "lower", PeakGiB: last.PeakGiB, MS: 1000 * last.Step, Rounds: 1}, nil
}

// config is the configuration of a job's model.
func (job memoryJob) config() (llm.Config, error) {
	text, ok := memoryShapes[job.Shape]
	if !ok {
		return llm.Config{}, fmt.Errorf("no shape %q", job.Shape)
	}
	c, err := llm.ParseConfig([]byte(text))
	if err == nil && job.Layers > 0 {
		c.Layers, c.Windows = job.Layers, c.Windows[:job.Layers]
	}
	return c, err
}

// options of loading: embedding and head in half precision, the layers in double-quantised NF4.
func (job memoryJob) options() llm.LoadOptions {
	q := &llm.QuantOptions{Config: quant.Config{Double: true}, Compute: dtypes.Float32}
	if job.Compute == "bfloat16" {
		q.Compute = dtypes.BFloat16
	}
	return llm.LoadOptions{DType: dtypes.BFloat16, Quantize: q}
}

// memoryWrite is the worker that writes a model: SHAPE DIR.
func memoryWrite(args []string) error {
	job := memoryJob{Shape: args[0]}
	c, err := job.config()
	if err != nil {
		return err
	}
	return llm.WriteRandom(args[1], c, 1, job.options())
}

// model loads a job's model with an adapter of rank 16 on all linear layers.
func (job memoryJob) model() (*llm.Model, *llm.Engine, *optim.Optimizer, error) {
	debug.SetGCPercent(50)
	b, err := backend.Open("")
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := job.config()
	if err != nil {
		return nil, nil, nil, err
	}
	var m *llm.Model
	if job.Dir == "" {
		m, err = llm.New(b, c, 1, job.options())
	} else {
		o := job.options()
		o.Stream = llm.StreamFile
		m, err = llm.Load(b, job.Dir, o)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if _, err := m.NewAdapter(ftlib.LoRA{R: 16}, 1); err != nil {
		return nil, nil, nil, err
	}
	debug.FreeOSMemory()
	e, err := llm.NewEngine(m, llm.EngineOptions{Keep: llm.KeepInputs})
	if err != nil {
		return nil, nil, nil, err
	}
	o, err := optim.NewAdamW(b)
	return m, e, o, err
}

// qloraStep is one step of a job: forward, backward, and the optimizer with its gradients clipped.
func qloraStep(e *llm.Engine, o *optim.Optimizer, batch *corpus.Batch, step int) (loss float64, err error) {
	t, err := e.Accumulate(batch, llm.NLL, 1/float32(batch.T), 1)
	if err != nil {
		return 0, err
	}
	squares, err := e.GradSquares()
	if err != nil {
		return 0, err
	}
	for _, group := range e.Groups() {
		h := optim.Hyper{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 1, Step: step}
		if err := o.Step(e, group, h, math.Sqrt(squares), decays); err != nil {
			return 0, err
		}
	}
	return t.Loss / t.Tokens, nil
}

func decays(string) bool { return false }

// memoryStep is the worker: a job in JSON.
func memoryStep(args []string) error {
	var job memoryJob
	if err := json.Unmarshal([]byte(args[0]), &job); err != nil {
		return err
	}
	var r memoryReport
	start := time.Now()
	lap := func() float64 {
		s := time.Since(start).Seconds()
		start = time.Now()
		return s
	}
	m, e, o, err := job.model()
	if err != nil {
		return err
	}
	r.Load = lap()
	batch := textBatch(job.Tokens, m.Config.Vocab)
	err = llm.Parallel(
		func() error { return e.Prepare(batch, llm.NLL, true) },
		func() error { return o.Prepare(e, e.Groups()[0], decays) })
	if err != nil {
		return err
	}
	r.Compile = lap()
	if r.Loss, err = qloraStep(e, o, batch, 1); err != nil {
		return err
	}
	r.Step, r.Weights = lap(), m.Bytes()+m.Adapter().Bytes()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// qloraRound is the worker that takes a step a round: LAYERS COMPUTE.
func qloraRound(args []string) (func() error, error) {
	layers, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, err
	}
	job := memoryJob{Shape: "7b", Tokens: 256, Layers: layers, Compute: args[1]}
	m, e, o, err := job.model()
	if err != nil {
		return nil, err
	}
	batch, step := textBatch(job.Tokens, m.Config.Vocab), 0
	return func() error {
		step++
		_, err := qloraStep(e, o, batch, step)
		e.ClearGrads()
		return err
	}, nil
}

var errNoPeer = errors.New("no Python with torch, transformers, peft and bitsandbytes; name one in FTLAB_PYTHON")

// bnbBench compares a step with PEFT and bitsandbytes on torch at equal depth: of two and four
// layers, it reports what is worse for us.
func bnbBench(name, compute string, o options) (result, error) {
	if o.python == "" {
		return result{}, fmt.Errorf("%s: %w", name, errNoPeer)
	}
	var worst result
	for _, layers := range []string{"2", "4"} {
		ours, peer, err := pair(o, "qlora", layers, compute)
		if err != nil {
			return result{}, err
		}
		v, err := versus(ours, peer, min(o.rounds, 5))
		if err != nil {
			return result{}, err
		}
		r := result{Name: name, Ratio: v.peer / v.ours, Better: "higher", Ours: v.ours / 1000, Peer: v.peer / 1000, Unit: "s/step", MS: v.ours,
			PeakGiB: v.peak, MemoryRatio: v.peak / v.peerPeak, Rounds: min(o.rounds, 5)}
		fmt.Fprintf(os.Stderr, "%s, %s layers: %.2f s and %.2f GiB, the peer %.2f s and %.2f GiB: ratio %.2f, memory ratio %.2f\n",
			name, layers, r.Ours, v.peak, r.Peer, v.peerPeak, r.Ratio, r.MemoryRatio)
		if worst.Name == "" {
			worst = r
		}
		worst.MemoryRatio = max(worst.MemoryRatio, r.MemoryRatio)
		if r.Ratio < worst.Ratio {
			r.MemoryRatio = worst.MemoryRatio
			worst = r
		}
	}
	return worst, nil
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
