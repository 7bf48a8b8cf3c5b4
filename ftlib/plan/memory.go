package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Line is something that takes memory.
type Line struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	What  string `json:"what"` // where the number comes from
}

// Moment is a time of a training step with everything that is held then.
type Moment struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Lines []Line `json:"lines"` // largest last added; zero lines are left out
}

// Ledger is who holds how much memory, and when.
type Ledger struct {
	Setup   Setup    `json:"setup"`
	Peak    Moment   `json:"peak"`    // the largest of the moments
	Moments []Moment `json:"moments"` // in their order in a step
	Trained int64    `json:"trained"` // trained weights
	Host    int64    `json:"host"`    // bytes in host memory besides, of paged optimizers, offloading and streaming
}

// Bytes is the estimated peak.
func (l Ledger) Bytes() int64 { return l.Peak.Bytes }

// Share is the bytes of the lines of the peak that have this name.
func (l Ledger) Share(name string) int64 { return l.Peak.Of(name) }

// Of is the bytes of the lines that have this name.
func (m Moment) Of(name string) int64 {
	n := int64(0)
	for _, x := range m.Lines {
		if x.Name == name {
			n += x.Bytes
		}
	}
	return n
}

// Working is the working memory of the largest program: what the compiler tells of it once it is
// compiled.
func (l Ledger) Working() int64 {
	m := memory{Setup: l.Setup, n: l.Setup.tokens()}
	return max(m.backwardBytes(), m.logitBytes())
}

// Names of lines.
const (
	lineWeights  = "weights"
	lineAdapters = "adapters"
	lineModels   = "other models"
	lineOptim    = "optimizer"
	lineGrads    = "gradients"
	lineActs     = "activations"
	lineProgram  = "working memory"
	lineLogits   = "logits"
	lineCache    = "KV cache"
	lineCopy     = "copies"
	lineProcess  = "process"
	lineCompiler = "compiler"
	lineSlack    = "allocator"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// What was measured on this project's engine, XLA's CPU plugin 0.11 and glibc's malloc as
// package backend sets it (docs/memory.md, "Constants").
const (
	processBytes   = 100 * mib // Go, the plugin, nothing loaded
	compilerBytes  = 200 * mib // that compiling a step's programs leaves behind, float32
	compilerHalf   = 275 * mib // the same with bfloat16 or packed weights
	allocatorBytes = 255 * mib // of free lists, once a step has run; and
	allocatorShare = 0.15      // of what comes and goes, less
	allocatorReuse = 0.30      // of the working memory, which finds room in what compiling freed
	allocatorLeast = 100 * mib
	fullShare      = 1.5       // of weights, gradients and moments besides, where all weights train: holes that heaps of threads keep
	gpuProcess     = 550 * mib // CUDA context and libraries: not measured with FTLab
	gpuAllocator   = 0.05      // fragmentation of XLA's allocator: not measured
)

// Memory is the ledger of a setup.
func Memory(s Setup) Ledger {
	m := &memory{Setup: s, n: s.tokens()}
	return m.ledger()
}

// memory computes a ledger.
type memory struct {
	Setup
	n int64 // tokens of a micro-batch
}

// saved is what the blocks keep for the backward pass of a micro-batch.
func (s Setup) saved() int64 {
	n, d := s.tokens(), int64(s.Shape.Hidden)
	block := n * d * 4
	if s.Memory == "recompute" {
		return block * int64(s.Shape.Layers)
	}
	if s.Memory == "offload" {
		return 2 * block
	}
	if s.Memory == "recompute_halves" {
		if s.Shape.phi() {
			return block * int64(s.Shape.Layers)
		}
		return 2 * block * int64(s.Shape.Layers)
	}
	q, kv := int64(s.Shape.Heads*s.Shape.HeadDim), int64(s.Shape.KVHeads*s.Shape.HeadDim)
	each := 2*q + 2*kv // q, attention, k, v
	if s.Memory == "recompute_mlp" {
		if !s.Shape.phi() {
			each += d
		}
	} else if s.Shape.phi() {
		each += int64(s.Shape.FFN)
	} else {
		each += d + 2*int64(s.Shape.FFN)
	}
	if s.LoRA != nil {
		each += int64(s.LoRA.R) * int64(len(s.Shape.targets(s.LoRA.Targets)))
	}
	return (block + n*each*4) * int64(s.Shape.Layers)
}

// scores are the attention matrices of a micro-batch.
func (m *memory) scores() int64 {
	t := int64(m.Length)
	return int64(m.Batch*m.PerExample) * int64(m.Shape.Heads) * t * t * 4
}

// dequantised is what weights that are no float32 take as such inside of a block: a half of the
// largest packed matrix, and a third of that for the others' leftovers, or the largest matrix in half
// precision, on a processor.
func (m *memory) dequantised() int64 {
	largest := int64(0)
	for _, x := range m.Shape.linears() {
		largest = max(largest, x.in*x.out)
	}
	each := int64(4)
	if m.GPU && m.Compute == "bfloat16" {
		each = 2
	}
	switch {
	case m.Weights == "int8":
		return largest * each * 4 / 3
	case m.Quantised():
		return largest / 2 * each * 4 / 3
	case m.Weights == "bfloat16" && !m.GPU:
		return largest * each
	}
	return 0
}

// backwardBytes is the working memory of a block's gradient; its forward pass takes less.
func (m *memory) backwardBytes() int64 {
	nd, nf := m.n*int64(m.Shape.Hidden)*4, m.n*int64(m.Shape.FFN)*4
	mlp, attention := 6*nf+6*nd, 3*m.scores()+3*nd
	if m.Memory != "save" {
		mlp = 8*nf + 10*nd
	}
	if m.LoRA == nil {
		mlp = 4 * nf
	}
	return max(mlp, attention) + m.dequantised()
}

// logitBytes is the working memory of the head over its trained tokens.
func (m *memory) logitBytes() int64 {
	if m.classifier() {
		return 3 * m.n * int64(m.Shape.Hidden) * 4
	}
	v, d := int64(m.Shape.Vocab), int64(m.Shape.Hidden)
	n := 2*m.headRows()*v*4 + 3*m.n*d*4
	if m.Outer == "bfloat16" && !m.GPU { // parts of the vocabulary as float32
		n += min(v*d*2, 48*mib)
	}
	return n
}

// headRows are the tokens whose logits exist at once.
func (m *memory) headRows() int64 { return m.n }

// ledger adds everything up.
func (m *memory) ledger() Ledger {
	l := Ledger{Setup: m.Setup, Trained: m.trained()}
	trained := l.Trained
	state, hosted := m.stateRate()
	held := m.persistent(&l, state)
	grads := Line{lineGrads, 4 * trained * m.trainers(), "float32, one for each trained weight"}
	saved := Line{lineActs, m.saved() * m.trainers(), activationWords(m.Setup)}
	logits := Line{lineLogits, m.logitBytes(), "probabilities over the vocabulary and their slopes"}
	if m.LoRA == nil && !m.classifier() {
		logits.Bytes += int64(m.Shape.Vocab) * int64(m.Shape.Hidden) * 4
	}
	early := Line{Name: lineGrads, What: grads.What} // while the first layers go backward
	if m.Accumulate > 1 {
		early.Bytes = grads.Bytes
	}
	work := func(n int64, what string) Line { return Line{lineProgram, n, what} }
	update, biggest := Line{Name: lineCopy, What: "new weights and moments of a layer, before the old ones are freed"}, m.biggestGroup()
	update.Bytes = int64(float64(biggest) * (4 + state))
	at := func(name string, lines ...Line) { l.add(name, slices.Concat(held, lines), m.Setup) }
	at("reading and writing the vocabulary", saved, early, logits)
	at("backward, last layer", saved, early, work(m.backwardBytes(), "a block's gradient while it runs"))
	first := saved
	first.Bytes = m.n * int64(m.Shape.Hidden) * 4 * m.trainers()
	at("backward, first layer", first, grads, work(m.backwardBytes(), "a block's gradient while it runs"))
	at("optimizer", grads, update)
	if m.Sampled() {
		at("writing answers", m.cache(), m.fused(), work(m.decodeBytes(), "a decoding step"))
	}
	if m.Checkpoints && !m.GPU {
		at("saving", Line{lineCopy, int64(float64(trained*m.trainers()) * (4 + state)), "weights and moments, on their way to the file"})
	}
	l.Host = int64(float64(trained*m.trainers()) * hosted)
	if m.Memory == "offload" {
		l.Host += m.n * int64(m.Shape.Hidden) * 4 * int64(m.Shape.Layers)
	}
	return l
}

// trainers is the number of models that train: PPO trains a value beside the policy.
func (m *memory) trainers() int64 {
	if m.Value {
		return 2
	}
	return 1
}

// persistent is what is held through all of a step.
func (m *memory) persistent(l *Ledger, state float64) []Line {
	base := m.weightBytes()
	weights := Line{lineWeights, base, weightWords(m.Setup)}
	if m.Stream { // two blocks at a time, and what is outside of them
		outer := int64(float64(m.Shape.outerParams())*m.rate(m.Outer)) + 4*m.Shape.smallParams()
		block := (base - outer) / int64(max(1, m.Shape.Layers))
		weights.Bytes, weights.What = outer+2*block, "embedding, head and two blocks; the others are read when they are needed"
	}
	adapters, others := int64(0), Line{Name: lineModels, What: "models of their own: "}
	each := 4 * m.adapterParams()
	adapters += each + m.residualBytes()
	var names []string
	separate := func(what string, n int) {
		others.Bytes += base * int64(n)
		names = append(names, what)
	}
	if m.Value {
		if m.LoRA != nil {
			adapters += each
		} else {
			separate("value", 1)
		}
	}
	for _, r := range slices.Concat([]Role{m.Reference}, m.Judges) {
		switch {
		case r == Adapter:
			adapters += each
		case r == Separate:
			separate("reference or judge", 1)
		}
	}
	others.What += strings.Join(names, ", ")
	lines := []Line{weights, {lineAdapters, adapters, "float32"}, others,
		{lineOptim, int64(float64(l.Trained*m.trainers()) * state), m.Optim}}
	return append(lines, m.constants()...)
}

// constants are what a process holds whatever it trains.
func (m *memory) constants() []Line {
	if m.GPU {
		return []Line{{lineProcess, gpuProcess, "CUDA context and libraries (a guess)"}}
	}
	compiler := Line{lineCompiler, compilerBytes, "what compiling leaves behind (measured)"}
	if m.Outer != "float32" || m.Quantised() {
		compiler.Bytes = compilerHalf
	}
	return []Line{{lineProcess, processBytes, "Go and XLA (measured)"}, compiler}
}

// biggestGroup is the largest number of trained weights that one update takes: a layer, or what
// is outside of the layers.
func (m *memory) biggestGroup() int64 {
	layers := int64(max(1, m.Shape.Layers))
	if m.LoRA != nil {
		return m.adapterParams() / layers
	}
	return max(m.Shape.linearParams()/layers, m.Shape.outerParams())
}

// cache is that of the keys and values of all rows that are written at once.
func (m *memory) cache() Line {
	rows := 1
	for rows < m.Rows {
		rows *= 2
	}
	return Line{lineCache, int64(rows) * m.RowBytes(), fmt.Sprintf("keys and values of %d answers at once, float32, twice while they grow", rows)}
}

// fused is the copy of float32 weights that decoding reads.
func (m *memory) fused() Line {
	l := Line{Name: lineCopy, What: "weights with the adapter folded in, for decoding"}
	if m.Outer == "float32" && !m.Quantised() {
		l.Bytes = 4 * m.Shape.linearParams()
	}
	return l
}

// decodeBytes is the working memory of decoding: logits of a token of each row, a few times.
func (m *memory) decodeBytes() int64 {
	return 4*int64(m.Rows)*int64(m.Shape.Vocab)*4 + m.dequantised()
}

// add appends a moment, with what the allocator keeps.
func (l *Ledger) add(name string, lines []Line, s Setup) {
	m := Moment{Name: name}
	moving, working := int64(0), int64(0)
	for _, x := range lines {
		if x.Bytes == 0 {
			continue
		}
		if x.Name == lineProgram || x.Name == lineLogits {
			working = x.Bytes
		}
		switch x.Name {
		case lineActs, lineProgram, lineLogits, lineGrads, lineCopy, lineCache:
			moving += x.Bytes
		}
		m.Lines = append(m.Lines, x)
		m.Bytes += x.Bytes
	}
	slack := Line{lineSlack, allocatorBytes + int64(allocatorShare*float64(moving)-allocatorReuse*float64(working)), "kept by malloc (measured)"}
	slack.Bytes = max(slack.Bytes, allocatorLeast)
	if s.LoRA == nil { // every weight, gradient and moment is a new buffer at every step
		state, _ := s.stateRate()
		slack.Bytes += int64(fullShare * float64(l.Trained) * (8 + state))
	}
	if s.GPU {
		slack = Line{lineSlack, int64(gpuAllocator * float64(m.Bytes)), "fragmentation (a guess)"}
	}
	m.Lines = append(m.Lines, slack)
	m.Bytes += slack.Bytes
	l.Moments = append(l.Moments, m)
	if m.Bytes > l.Peak.Bytes {
		l.Peak = m
	}
}

func weightWords(s Setup) string {
	words := map[string]string{"float32": "float32, 4 bytes", "bfloat16": "bfloat16, 2 bytes", "int8": "int8, 1 byte"}[s.Weights]
	if words == "" {
		words = s.Weights + ", " + trim(s.rate(s.Weights)) + " bytes"
	}
	words += " for each of " + count(s.Shape.linearParams()) + " weights of the layers"
	if s.Outer != s.Weights {
		words += "; embedding and head in " + s.Outer
	}
	return words
}

func activationWords(s Setup) string {
	switch s.Memory {
	case "recompute":
		return "the inputs of the blocks; the rest is computed again"
	case "recompute_mlp":
		return "what attention's gradient needs; the MLP is computed again"
	case "recompute_halves":
		return "the inputs of attention and MLP of every block; the rest is computed again"
	case "offload":
		return "the inputs of two blocks; the others wait in host memory"
	}
	return "everything that the gradient needs"
}
