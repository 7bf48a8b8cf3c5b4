package tune

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/plan"
	"ftlab/ftlib/quant"
)

// Timing is what a [plan.Case] took.
type Timing struct {
	Compile  float64           `json:"compile_s"` // of the passes
	First    float64           `json:"first_s"`   // step, in which the optimizer compiles
	Step     float64           `json:"step_s"`    // median of the others; 0: there were none
	Programs []backend.Program `json:"programs"`  // what the compiler says, the largest first
}

// Measure trains a case for its steps, with random weights on random tokens.
func Measure(b compute.Backend, c plan.Case) (t Timing, err error) {
	m, err := caseModel(b, c)
	if err != nil {
		return t, fmt.Errorf("tune: %w", err)
	}
	defer m.Close()
	keep := llm.KeepAll
	if c.Recompute {
		keep = llm.KeepInputs
	}
	e, err := llm.NewEngine(m, llm.EngineOptions{Keep: keep})
	if err != nil {
		return t, err
	}
	defer e.Close()
	s, err := NewSFT(e, llm.NLL, 1)
	if err != nil {
		return t, err
	}
	defer s.opt.Close()
	batch := &corpus.Batch{B: c.Batch, T: c.Length}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range c.Batch * c.Length {
		at := i % c.Length
		batch.IDs, batch.Pos, batch.Seg = append(batch.IDs, int32(rng.IntN(m.Config.Vocab))), append(batch.Pos, int32(at)), append(batch.Seg, 1)
		batch.Mask = append(batch.Mask, min(1, float32(at)))
	}
	start := time.Now()
	if err := e.Prepare(batch, llm.NLL, true); err != nil {
		return t, err
	}
	t.Compile = time.Since(start).Seconds()
	var times []float64
	for i := range max(1, c.Steps) {
		start := time.Now()
		if _, err := s.Accumulate(batch, float32(1/batch.Trained())); err != nil {
			return t, err
		}
		h := Hyper{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 1, Step: i + 1}
		if _, err := s.Apply(h); err != nil {
			return t, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	t.First, t.Programs = times[0], e.Compiled()
	if rest := times[1:]; len(rest) > 0 {
		slices.Sort(rest)
		t.Step = rest[len(rest)/2]
	}
	return t, nil
}

// caseModel makes the model of a case, with its adapter.
func caseModel(b compute.Backend, c plan.Case) (*llm.Model, error) {
	shape, err := c.Model()
	if err != nil {
		return nil, err
	}
	config, err := llm.ParseConfig(shape.Config())
	if err != nil {
		return nil, err
	}
	var o llm.LoadOptions
	switch {
	case c.Weights == "bfloat16":
		o.DType = dtypes.BFloat16
	case c.Weights != "float32":
		q := llm.QuantOptions{Config: quant.Config{Double: c.Double, Type: quant.Type(c.Weights)}, Compute: dtypes.Float32}
		if c.Compute == "bfloat16" {
			q.Compute = dtypes.BFloat16
		}
		o.DType, o.Quantize = dtypes.BFloat16, &q
	}
	m, err := llm.New(b, config, 1, o)
	if err == nil && c.R > 0 {
		_, err = m.NewAdapter(ftlib.LoRA{R: c.R}, 1)
	}
	return m, err
}

// Calibrate finds what this machine computes, in about a quarter of a minute, with the engine itself.
func Calibrate(b compute.Backend) (plan.Rates, error) {
	r, err := plan.Calibrate(func(c plan.Case) (float64, error) {
		t, err := Measure(b, c)
		return t.Step, err
	})
	r.Machine, r.Date = Machine(b), time.Now().Format(time.DateOnly)
	return r, err
}

// Machine names what computes, for a calibration that is kept: processor, cores and backend.
func Machine(b compute.Backend) string { return machineName(backendKind(b.Description())) }

func machineName(kind string) string {
	m := backend.ThisMachine()
	cpu := strings.Join(strings.Fields(m.CPU), " ")
	if cpu == "" {
		cpu = m.Arch
	}
	return fmt.Sprintf("%s, %d cores, %s", cpu, m.Cores, kind)
}
