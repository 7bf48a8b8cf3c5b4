package tune

import (
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/plan"
	"ftlab/internal/testkit"
)

// The planner counts a model's weights as the engine does, for every family.
func TestPlanShapes(t *testing.T) {
	for _, s := range plan.KnownShapes() {
		c, err := llm.ParseConfig(s.Config())
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if got := int64(c.Params()); got != s.Params() {
			t.Errorf("%s: the engine has %d weights, the planner %d", s.Name, got, s.Params())
		}
	}
}

// The ledger's bytes of weights, adapters and kept activations are those of the engine.
func TestPlanBytes(t *testing.T) {
	b := testkit.Backend(t)
	for _, c := range []plan.Case{
		{Shape: "cal-call", Batch: 2, Length: 32, Weights: "float32", R: 4},
		{Shape: "cal-call", Batch: 2, Length: 32, Weights: "bfloat16", R: 4, Recompute: true},
		{Shape: "cal-call", Batch: 1, Length: 32, Weights: "nf4", Double: true, R: 4},
	} {
		m, err := caseModel(b, c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Setup()
		if err != nil {
			t.Fatal(err)
		}
		l := plan.Memory(s)
		near := func(what string, got, want int64) {
			if d := got - want; d < -want/50-64 || d > want/50+64 {
				t.Errorf("%s: %s take %d bytes, the ledger says %d", c.Weights, what, want, got)
			}
		}
		near("weights", l.Share("weights"), m.Bytes())
		near("adapters", l.Share("adapters"), m.Adapter().Bytes())
		keep := llm.KeepAll
		if c.Recompute {
			keep = llm.KeepInputs
		}
		e, err := llm.NewEngine(m, llm.EngineOptions{Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		near("activations", l.Moments[0].Of("activations"), e.SavedBytes(c.Batch*c.Length))
		e.Close()
		m.Close()
	}
}

// A plan reads the data of a run; a run that will not fit is told so before it loads.
func TestPlanOfARun(t *testing.T) {
	run := ftlib.Run{Model: ftlib.Model{Path: "../../models/ft-tiny"}, Data: ftlib.Data{Train: "../../datasets/reviews/train.parquet"}, LoRA: &ftlib.LoRA{R: 8}}
	r, err := Plan(run, PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Fits || r.Work.Rows < 100 || r.Work.Tokens < 5 || r.Work.Trained <= 0 || r.Work.Trained >= 1 || r.Ledger.Setup.Length > 256 {
		t.Errorf("%+v of %s", r.Work, r.Verdict())
	}
	r, err = Plan(run, PlanOptions{Limit: 1 << 20, NoData: true})
	if err != nil || r.Fits {
		t.Fatalf("in a megabyte: %s, %v", r.Verdict(), err)
	}
	var told string
	if err := foretell(&r, ftlib.SinkFunc(func(e ftlib.Event) error { told = e.Type + e.Message; return nil })); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(told, ftlib.EventWarning) || !strings.Contains(told, "will not fit") {
		t.Errorf("%q", told)
	}
}

// A measured step tells its time and, on XLA, what the compiler says.
func TestMeasure(t *testing.T) {
	b := testkit.Backend(t)
	m, err := Measure(b, plan.Case{Shape: "cal-call", Batch: 1, Length: 16, Weights: "float32", R: 4, Steps: 3})
	if err != nil || m.Step <= 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if strings.HasPrefix(backendKind(b.Description()), "xla") == (len(m.Programs) == 0) {
		t.Errorf("%s told of %d programs", b.Description(), len(m.Programs))
	}
}
