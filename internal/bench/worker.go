package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/gomlx/compute"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/tune"
)

// shape is a model to measure on, the same on both sides.
type shape struct {
	config   string
	batch, t int
}

var shapes = map[string]shape{
	"S": {`{"model_type":"llama","vocab_size":4096,"hidden_size":384,"num_hidden_layers":6,"num_attention_heads":6,
		"intermediate_size":1024,"max_position_embeddings":1024,"tie_word_embeddings":true}`, 4, 256},
	"M": {`{"model_type":"llama","vocab_size":8192,"hidden_size":1024,"num_hidden_layers":8,"num_attention_heads":16,
		"intermediate_size":2816,"max_position_embeddings":1024,"tie_word_embeddings":true}`, 2, 256},
	"XS": {`{"model_type":"llama","vocab_size":256,"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":2,
		"intermediate_size":128,"max_position_embeddings":256,"tie_word_embeddings":true}`, 1, 16},
}

func newModel(name string) (*llm.Model, shape, error) {
	s, ok := shapes[name]
	if !ok {
		return nil, s, fmt.Errorf("no configuration %q", name)
	}
	b, err := backend.Open("")
	if err != nil {
		return nil, s, err
	}
	m, err := newModelOn(b, s)
	return m, s, err
}

func newModelOn(b compute.Backend, s shape) (*llm.Model, error) {
	c, err := llm.ParseConfig([]byte(s.config))
	if err != nil {
		return nil, err
	}
	return llm.New(b, c, 1, llm.LoadOptions{})
}

// runWorker prepares a measurement, says "ready", and runs one round for every line
// that it reads.
func runWorker(kind string, args []string) error {
	if kind == "first" {
		return firstStep(args[0])
	}
	if kind == "memory" {
		return memoryStep(args)
	}
	if kind == "plan" {
		return planStep(args[0])
	}
	if kind == "memory_write" {
		return memoryWrite(args)
	}
	var round func() error
	var err error
	switch kind {
	case "train":
		round, err = trainRound(args[0])
	case "decode":
		round, err = decodeRound(args[0])
	case "qlora":
		round, err = qloraRound(args)
	case "step":
		round, err = stepsRound(args)
	default:
		err = fmt.Errorf("no worker %q", kind)
	}
	if err != nil {
		return err
	}
	for range 2 { // compile, touch memory
		if err := round(); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		start := time.Now()
		if err := round(); err != nil {
			return err
		}
		fmt.Printf("%.3f\n", time.Since(start).Seconds()*1e3)
	}
	return nil
}

// trainRound is one optimizer step of LoRA r=16 on all seven projections, every token
// trained, clipped to norm 1.
func trainRound(name string) (func() error, error) {
	m, s, err := newModel(name)
	if err != nil {
		return nil, err
	}
	return loraStep(m, s)
}

func loraStep(m *llm.Model, s shape) (func() error, error) {
	if _, err := m.NewAdapter(ftlib.LoRA{R: 16, Alpha: 32}, 1); err != nil {
		return nil, err
	}
	step, err := stepOf(m, s)
	return func() error { _, err := step(); return err }, err
}

// stepOf takes training steps of the adapter that is on, on one batch; each gives the loss.
func stepOf(m *llm.Model, s shape) (func() (float64, error), error) {
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		return nil, err
	}
	sft, err := tune.NewSFT(e, llm.NLL, 1)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	b := &corpus.Batch{B: s.batch, T: s.t}
	for i := range s.batch * s.t {
		w := float32(1)
		if i%s.t == 0 {
			w = 0
		}
		b.IDs, b.Pos = append(b.IDs, int32(rng.IntN(m.Config.Vocab))), append(b.Pos, int32(i%s.t))
		b.Seg, b.Mask = append(b.Seg, 1), append(b.Mask, w)
	}
	scale := float32(1 / b.Trained())
	step := 0
	return func() (float64, error) {
		step++
		sums, err := sft.Accumulate(b, scale)
		if err != nil {
			return 0, err
		}
		_, err = sft.Apply(tune.Hyper{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 1, Step: step})
		return sums.Loss, err
	}, nil
}

// decodeRound is 64 greedy tokens from a prompt of one, for a batch of rows.
func decodeRound(rows string) (func() error, error) {
	n, err := strconv.Atoi(rows)
	if err != nil {
		return nil, err
	}
	m, _, err := newModel("S")
	if err != nil {
		return nil, err
	}
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{})
	if err != nil {
		return nil, err
	}
	prompts := make([][]int32, n)
	for i := range prompts {
		prompts[i] = []int32{int32(i + 1)}
	}
	return func() error {
		out, err := g.Generate(context.Background(), prompts, llm.Sampling{MaxNew: 64, IgnoreEOS: true})
		if err == nil && len(out[0].IDs) != 64 {
			err = fmt.Errorf("%d tokens instead of 64", len(out[0].IDs))
		}
		return err
	}, nil
}
