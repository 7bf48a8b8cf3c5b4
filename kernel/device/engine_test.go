package device_test

import (
	"cmp"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/internal/testkit"
	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

const tinyConfig = `{"model_type":"llama","vocab_size":61,"hidden_size":32,"num_hidden_layers":3,"num_attention_heads":4,
	"num_key_value_heads":2,"intermediate_size":48,"max_position_embeddings":64}`

// engine is a small random model with LoRA, dropout and all.
func engine(t testing.TB, b compute.Backend) *llm.Engine {
	t.Helper()
	c, err := llm.ParseConfig([]byte(tinyConfig))
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.New(b, c, 7, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return adapted(t, m)
}

func adapted(t testing.TB, m *llm.Model) *llm.Engine {
	t.Helper()
	a, err := m.NewAdapter(ftlib.LoRA{R: 4, Alpha: 8, Dropout: 0.1}, 3)
	if err != nil {
		t.Fatal(err)
	}
	m.SetAdapter(a)
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func batch(rows, length int) *corpus.Batch {
	b := &corpus.Batch{B: rows, T: length}
	for i := range b.B * b.T {
		b.IDs = append(b.IDs, int32(i*7%61))
		b.Pos = append(b.Pos, int32(i%b.T))
		b.Seg = append(b.Seg, 1)
		b.Mask = append(b.Mask, float32(min(i%b.T, 1)))
	}
	return b
}

// train takes steps of plain gradient descent and returns the losses.
func train(t testing.TB, e *llm.Engine, from, to int) (losses []float64) {
	t.Helper()
	for step := from; step < to; step++ {
		totals, err := e.Accumulate(batch(2, 12), llm.NLL, 1, uint64(step))
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, totals.Loss)
		for _, name := range e.Trainable() {
			v, g := flat(t, e.Value(name)), flat(t, e.Grad(name))
			for i := range v {
				v[i] -= 0.05 * g[i]
			}
			next := tensors.FromFlatDataAndDimensions(v, e.Value(name).Shape().Dimensions...)
			if err := e.SetValue(name, next); err != nil {
				t.Fatal(err)
			}
		}
		e.ClearGrads()
	}
	return losses
}

func flat(t testing.TB, x *tensors.Tensor) []float32 {
	t.Helper()
	v, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// keptAs is the name below which a training is kept.
var keptAs = cmp.Or(os.Getenv("FTLAB_DEVICE_TEST_NAME"), "lora")

// keepEngine keeps what trains and the next step, as one snapshot; bindEngine puts it
// into another engine.
func keepEngine(t testing.TB, b *session.Backend, e *llm.Engine, step int) {
	t.Helper()
	snapshot := map[string]compute.Buffer{keptAs + "/step": upload(t, b, float32(step))}
	for _, name := range e.Trainable() {
		x, err := e.Value(name).Buffer(b, 0)
		if err != nil {
			t.Fatal(err)
		}
		snapshot[keptAs+"/"+name] = x
	}
	if err := b.Keep(snapshot); err != nil {
		t.Fatal(err)
	}
}

func bindEngine(t testing.TB, b *session.Backend, e *llm.Engine) (step int) {
	t.Helper()
	bound, err := b.Bind(keptAs)
	if err != nil {
		t.Fatal(err)
	}
	if len(bound) != len(e.Trainable())+1 {
		t.Fatalf("bound %d of %d", len(bound), len(e.Trainable()))
	}
	for _, name := range e.Trainable() {
		x, err := tensors.FromBuffer(bound[keptAs+"/"+name])
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetValue(name, x); err != nil {
			t.Fatal(err)
		}
	}
	return int(read(t, bound[keptAs+"/step"])[0])
}

func bits(x []float64) (b []uint64) {
	for _, v := range x {
		b = append(b, math.Float64bits(v))
	}
	return b
}

// The losses of training in a session are those in process, bit for bit, also when a
// second program takes over in the middle; it compiles nothing.
func TestTrainingInSession(t *testing.T) {
	kinds(t, func(t *testing.T, real compute.Backend) {
		want := train(t, engine(t, real), 0, 6)
		if want[5] >= want[0] {
			t.Fatalf("it does not learn: %v", want)
		}
		s, addr := serve(t, real, device.Options{})
		first := client(t, addr)
		e := engine(t, first)
		got := train(t, e, 0, 3)
		keepEngine(t, first, e, 3)
		first.Finalize()

		second := client(t, addr)
		before := s.Stats()
		e = engine(t, second)
		if step := bindEngine(t, second, e); step != 3 {
			t.Errorf("kept step %d", step)
		}
		got = append(got, train(t, e, 3, 6)...)
		if !slices.Equal(bits(got), bits(want)) {
			t.Errorf("in a session %v, in process %v", got, want)
		}
		after := s.Stats()
		if after.Misses != before.Misses || after.Hits == before.Hits {
			t.Errorf("the second program: %d programs compiled, %d found", after.Misses-before.Misses, after.Hits-before.Hits)
		}
	})
}

// benchEngine trains LoRA on ft-tiny, 4 rows of 64 tokens.
func benchEngine(b *testing.B, real compute.Backend) *llm.Engine {
	b.Helper()
	m, err := llm.Load(real, filepath.Join(testkit.Root(), "models", "ft-tiny"), llm.LoadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return adapted(b, m)
}

// One step of training in process and through a server.
func BenchmarkStep(b *testing.B) {
	for _, kind := range []string{"process", "session"} {
		b.Run(kind, func(b *testing.B) {
			real := testkit.Backend(b)
			if kind == "session" {
				_, addr := serve(b, real, device.Options{})
				real = client(b, addr)
			}
			e := benchEngine(b, real)
			step := func() {
				if _, err := e.Accumulate(batch(4, 64), llm.NLL, 1, 1); err != nil {
					b.Fatal(err)
				}
				e.ClearGrads()
			}
			step() // compiles
			for b.Loop() {
				step()
			}
		})
	}
}

// A second program: connect, bind, build, and take the first step.
func BenchmarkSecondProgram(b *testing.B) {
	_, addr := serve(b, testkit.Backend(b), device.Options{})
	first := client(b, addr)
	e := benchEngine(b, first)
	train(b, e, 0, 1)
	keepEngine(b, first, e, 1)
	b.Run("bind", func(b *testing.B) {
		for b.Loop() {
			bound, err := first.Bind("lora")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(bound)), "buffers")
		}
	})
	b.Run("first-step", func(b *testing.B) {
		for b.Loop() {
			c := client(b, addr)
			e := benchEngine(b, c)
			bindEngine(b, c, e)
			train(b, e, 1, 2)
		}
	})
}
