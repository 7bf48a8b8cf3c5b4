package tune

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/safetensors"
)

// bigram is a real model small enough for plain Go: logits of the next token are a
// row of a [V, V] table, trained with AdamW. Dropout zeroes a row's gradient as a
// function of seed, step and micro-batch.
type bigram struct {
	V       int
	Dropout float64
	Poison  int // step at which the loss becomes NaN; 0: never
	Norm    int // step at which the gradient becomes infinite

	w, g, m, v []float32
	steps      int64
	micro      int
	seed       int64
	applied    []Hyper
}

func newBigram(v int, dropout float64) *bigram {
	b := &bigram{V: v, Dropout: dropout, seed: 42}
	b.w, b.g, b.m, b.v = make([]float32, v*v), make([]float32, v*v), make([]float32, v*v), make([]float32, v*v)
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range b.w {
		b.w[i] = float32(rng.NormFloat64() * 0.1)
	}
	return b
}

func (m *bigram) each(b *corpus.Batch, visit func(row, target int, mask float64, p []float64)) Sums {
	var s Sums
	p := make([]float64, m.V)
	for i := range b.B {
		for t := 1; t < b.T; t++ {
			at := i*b.T + t
			if b.Mask[at] == 0 || b.Seg[at] != b.Seg[at-1] {
				continue
			}
			row, target := int(b.IDs[at-1]), int(b.IDs[at])
			top, sum := math.Inf(-1), 0.0
			for j := range p {
				top = max(top, float64(m.w[row*m.V+j]))
			}
			best := 0
			for j := range p {
				p[j] = math.Exp(float64(m.w[row*m.V+j]) - top)
				sum += p[j]
				if p[j] > p[best] {
					best = j
				}
			}
			for j := range p {
				p[j] /= sum
			}
			w := float64(b.Mask[at])
			hit := Sums{Loss: -w * math.Log(p[target]), Tokens: w, Metrics: map[string]float64{"accuracy": 0}}
			if best == target {
				hit.Metrics["accuracy"] = w
			}
			s.Add(hit)
			visit(row, target, w, p)
		}
	}
	return s
}

func (m *bigram) Accumulate(b *corpus.Batch, scale float32) (Sums, error) {
	m.micro++
	s := m.each(b, func(row, target int, w float64, p []float64) {
		if m.Dropout > 0 {
			h := fnv.New64a()
			fmt.Fprint(h, m.seed, m.steps+1, m.micro, row)
			if float64(h.Sum64()>>11)/(1<<53) < m.Dropout {
				return
			}
		}
		for j := range p {
			d := p[j]
			if j == target {
				d--
			}
			m.g[row*m.V+j] += scale * float32(w*d)
		}
	})
	if m.Poison == int(m.steps)+1 {
		s.Loss = math.NaN()
	}
	return s, nil
}

func (m *bigram) Apply(h Hyper) (float64, error) {
	m.applied = append(m.applied, h)
	sum := 0.0
	for _, g := range m.g {
		sum += float64(g) * float64(g)
	}
	norm := math.Sqrt(sum)
	if m.Norm == h.Step {
		return math.Inf(1), nil
	}
	clip := 1.0
	if h.MaxGradNorm > 0 {
		clip = min(1, h.MaxGradNorm/(norm+1e-6))
	}
	m.steps++
	m.micro, m.seed = 0, h.Seed
	c1, c2 := 1-math.Pow(h.Beta1, float64(m.steps)), 1-math.Pow(h.Beta2, float64(m.steps))
	for i := range m.w {
		g := float64(m.g[i]) * clip
		m.m[i] = float32(h.Beta1*float64(m.m[i]) + (1-h.Beta1)*g)
		m.v[i] = float32(h.Beta2*float64(m.v[i]) + (1-h.Beta2)*g*g)
		w := float64(m.w[i]) * (1 - h.LR*h.WeightDecay)
		m.w[i] = float32(w - h.LR*float64(m.m[i])/c1/(math.Sqrt(float64(m.v[i])/c2)+h.Epsilon))
	}
	clear(m.g)
	return norm, nil
}

func (m *bigram) Evaluate(b *corpus.Batch) (Sums, error) {
	return m.each(b, func(int, int, float64, []float64) {}), nil
}

func (m *bigram) State() (State, error) {
	s := State{Counters: map[string]int64{"optim.step": m.steps}}
	for name, values := range map[string][]float32{"table": m.w, "optim.m/table": m.m, "optim.v/table": m.v} {
		t, err := safetensors.FromFloat32s(name, safetensors.F32, []int{m.V, m.V}, values)
		if err != nil {
			return s, err
		}
		s.Tensors = append(s.Tensors, t)
	}
	return s, nil
}

func (m *bigram) Restore(s State) error {
	for _, t := range s.Tensors {
		to := map[string][]float32{"table": m.w, "optim.m/table": m.m, "optim.v/table": m.v}[t.Name]
		if err := t.Float32sInto(to); err != nil {
			return err
		}
	}
	m.steps = s.Counters["optim.step"]
	m.micro = 0
	return nil
}

func (m *bigram) Save(dir string) error {
	t, err := safetensors.FromFloat32s("table", safetensors.F32, []int{m.V, m.V}, m.w)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte("{}\n"), 0o644); err != nil {
		return err
	}
	return safetensors.Write(filepath.Join(dir, "adapter_model.safetensors"), []safetensors.Tensor{t}, nil)
}

func (m *bigram) SaveMerged(dir string) error { return m.Save(dir) }

// fakeSource shuffles examples anew in every epoch and pads to the longest.
type fakeSource struct {
	Examples []corpus.Example
	Size     int
	Seed     uint64
	at       struct{ Epoch, Next int }
}

func (s *fakeSource) PerEpoch() int { return (len(s.Examples) + s.Size - 1) / s.Size }

func (s *fakeSource) Next() (*corpus.Batch, bool, error) {
	order := rand.New(rand.NewPCG(s.Seed, uint64(s.at.Epoch))).Perm(len(s.Examples))
	from := s.at.Next * s.Size
	rows := order[from:min(from+s.Size, len(order))]
	last := from+s.Size >= len(order)
	if s.at.Next++; last {
		s.at.Epoch, s.at.Next = s.at.Epoch+1, 0
	}
	return pad(s.Examples, rows), last, nil
}

func (s *fakeSource) Cursor() (json.RawMessage, error) { return json.Marshal(s.at) }
func (s *fakeSource) Seek(c json.RawMessage) error     { return json.Unmarshal(c, &s.at) }

func pad(examples []corpus.Example, rows []int) *corpus.Batch {
	b := &corpus.Batch{B: len(rows), Rows: rows}
	for _, r := range rows {
		b.T = max(b.T, len(examples[r].IDs))
	}
	b.IDs, b.Mask = make([]int32, b.B*b.T), make([]float32, b.B*b.T)
	b.Pos, b.Seg = make([]int32, b.B*b.T), make([]int32, b.B*b.T)
	for i, r := range rows {
		for t, id := range examples[r].IDs {
			at := i*b.T + t
			b.IDs[at], b.Pos[at], b.Seg[at] = id, int32(t), 1
			if examples[r].Train[t] && t > 0 {
				b.Mask[at] = 1
			}
		}
	}
	return b
}

// examples are sequences with a pattern to learn: the next token is mostly 3a+1.
func examples(n, v int, seed uint64) []corpus.Example {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]corpus.Example, n)
	for i := range out {
		e := corpus.Example{File: "rows.jsonl", Num: i + 1}
		id := rng.IntN(v)
		for t := range 3 + rng.IntN(9) {
			e.IDs = append(e.IDs, int32(id))
			e.Train = append(e.Train, t > 1)
			if id = (3*id + 1) % v; rng.IntN(8) == 0 {
				id = rng.IntN(v)
			}
		}
		out[i] = e
	}
	return out
}

// newTestLoop is a loop over the bigram model and 50 rows.
func newTestLoop(change func(*ftlib.Run)) (*Loop, *bigram) {
	run := ftlib.Run{Name: "test", Model: ftlib.Model{Path: "m"}, Data: ftlib.Data{Train: "rows.jsonl"}}
	run.Optim.LearningRate, run.Optim.WarmupSteps, run.Optim.WeightDecay = 0.05, 3, 0.01
	run.Batch.Size, run.Batch.Accumulate, run.Batch.Epochs = 4, 2, 3
	run.Save.Every, run.Eval.Every = 5, 5
	if change != nil {
		change(&run)
	}
	run = run.Resolve()
	rows := examples(50, 11, 1)
	m := newBigram(11, 0.1)
	m.seed = run.Seed
	held := examples(12, 11, 2)
	return &Loop{
		Run: run, Stepper: m,
		Batches:    &fakeSource{Examples: rows, Size: run.Batch.Size, Seed: uint64(run.Seed)},
		Validation: []*corpus.Batch{pad(held, []int{0, 1, 2, 3, 4, 5}), pad(held, []int{6, 7, 8, 9, 10, 11})},
		Where:      func(i int) (string, int) { return rows[i].File, rows[i].Num },
	}, m
}
