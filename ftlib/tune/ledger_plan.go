package tune

import (
	"fmt"
	"os"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/plan"
)

// PlanOptions say what a plan is made for. The zero value is for this machine and the
// data that the run names.
type PlanOptions struct {
	Device  plan.Device // zero: this machine, as the run's backend would use it
	Work    plan.Work   // what is zero comes from the data, where it lies on this machine
	Limit   int64       // bytes that may be used; 0: all that the device has
	NoData  bool        // do not read the data
	Longest int         // tokens of the longest row; 0: from the data, else the maximum length
}

// Plan says what a run would need, without loading its model.
func Plan(run ftlib.Run, o PlanOptions) (plan.Report, error) {
	shape, err := shapeOf(run.Model.Path)
	if err != nil {
		return plan.Report{}, err
	}
	if o.Device.Title == "" {
		o.Device = ThisDevice(run.Model.Backend)
	}
	var notes []string
	if !o.NoData && run.Data.Train != "" && (o.Work.Rows == 0 || o.Work.Tokens == 0) {
		work, longest, note := workOf(run)
		if note != "" {
			notes = append(notes, note)
		}
		if o.Work.Rows == 0 {
			o.Work.Rows = work.Rows
		}
		if o.Work.Tokens == 0 {
			o.Work.Tokens, o.Work.Trained = work.Tokens, work.Trained
		}
		if o.Longest == 0 {
			o.Longest = longest
		}
	}
	if o.Longest > 0 && (run.Data.MaxLength == 0 || o.Longest < run.Data.MaxLength) && !run.Data.Packing {
		run = run.Clone()
		run.Data.MaxLength = min(o.Longest, usualLength(shape.Positions))
	}
	r := plan.Of(run, shape, o.Device, o.Work, o.Limit)
	r.Notes = append(notes, r.Notes...)
	return r, nil
}

// shapeOf is that of a model directory, a name of the hub that was downloaded, or a known name.
func shapeOf(path string) (plan.Shape, error) {
	if path == "" {
		return plan.Shape{}, fmt.Errorf("tune: model.path is empty: name a model directory, or a size such as 7b")
	}
	if at, err := llm.Resolve(path); err == nil {
		return plan.ReadShape(at)
	}
	return plan.FindShape(path)
}

// ThisDevice is what this machine computes with: its first GPU where the backend is one, else its
// processor, with the memory that is free and the rates of the last calibration.
func ThisDevice(name string) plan.Device {
	m := backend.ThisMachine()
	if name == "" {
		name = os.Getenv(backend.Env)
	}
	if name == "" {
		name = backend.Survey().Chosen
	}
	if strings.HasPrefix(name, backend.CUDA) && len(m.GPUs) > 0 {
		g := m.GPUs[0]
		d, err := plan.FindDevice(g.Name)
		if err != nil { // rates of a small card; its memory is known
			d, _ = plan.FindDevice("t4")
			d.Source = "not in the table: rates of a T4"
		}
		d.Title, d.GiB = g.Name, float64(g.Memory)/(1<<30)
		return d
	}
	d := plan.Device{Name: "cpu", Title: "this machine", GiB: float64(m.Available) / (1 << 30)}
	if r, ok := plan.SavedRates(machineName(name)); ok {
		d.Rates = &r
	}
	return d
}

// sampled is how many rows are encoded to learn how long rows are, where there are many.
const sampledRows = 400

// workOf reads the data of a run: its rows, their mean length, their longest. note says what is not known.
func workOf(run ftlib.Run) (w plan.Work, longest int, note string) {
	if _, err := os.Stat(run.Data.Train); err != nil {
		return w, 0, "the data is not on this machine: say how many rows there are (--rows) and how long they are (--tokens)"
	}
	resolved := withAdapterTemplate(run).Resolve()
	resolved.Data.Insist = true
	all := resolved
	dir := tokenizerDir(run.Model.Path)
	if resolved.Data.Limit == 0 && large(resolved.Data.Train) {
		resolved.Data.Limit = sampledRows
	}
	d, err := openData(resolved, dir)
	if err != nil {
		return w, 0, fmt.Sprintf("the data was not read (%v): say how many rows there are (--rows) and how long they are (--tokens)", err)
	}
	n := 0
	add := func(ids []int32) { n, longest = n+len(ids), max(longest, len(ids)) }
	for _, e := range d.Examples {
		add(e.IDs)
	}
	sequences := len(d.Examples)
	for _, g := range d.Groups[:trainedGroups(d)] {
		for _, s := range g.Seqs {
			add(s.IDs)
			sequences++
		}
	}
	if sequences == 0 {
		return w, 0, "the data has no rows for this method"
	}
	w.Rows = max(len(d.Examples), trainedGroups(d))
	w.Tokens = float64(n) / float64(sequences)
	if all.Data.Limit != resolved.Data.Limit {
		w.Rows = 0
		note = fmt.Sprintf("the length of rows is that of %d of them: say how many there are (--rows)", sampledRows)
		longest = 0
	}
	if m, roll := onlineMethodOf(resolved); m != nil { // prompts: an answer comes behind each
		w.Tokens += float64(roll.MaxLength)
		longest += roll.MaxLength
	} else if d.Audit.Tokens > 0 {
		w.Trained = float64(d.Audit.Trained) / float64(d.Audit.Tokens)
	}
	return w, longest, note
}

func trainedGroups(d *Data) int {
	if d.trained > 0 {
		return d.trained
	}
	return len(d.Groups)
}

// large reports data that takes seconds to encode.
func large(path string) bool {
	src, err := corpus.Resolve(path, corpus.OpenOptions{})
	if err != nil {
		return false
	}
	n := int64(0)
	for _, f := range src.Files {
		if info, err := os.Stat(f.Path); err == nil {
			n += info.Size()
		}
	}
	return n > 4<<20
}

// planned is the plan of a run that is about to begin; nil where it cannot be told.
func planned(run ftlib.Run, g *given) *plan.Report {
	if run.Model.Path == "" || g != nil {
		return nil
	}
	r, err := Plan(run, PlanOptions{NoData: true})
	if err != nil {
		return nil
	}
	return &r
}

// foretell warns before anything is loaded when a run will not fit, or barely.
func foretell(r *plan.Report, sink ftlib.Sink) error {
	if r == nil || sink == nil || r.Fits && !r.Close {
		return nil
	}
	text := "memory: " + r.Verdict()
	for i, a := range r.Advice {
		text += fmt.Sprintf("\n  %d. %s", i+1, a.Words())
	}
	return sink.Event(ftlib.Event{Type: ftlib.EventWarning, Message: text})
}

// compiled is what the compiler says of the programs of a step, the largest first.
func (s *trainer) compiled() []backend.Program { return s.Engine.Compiled() }

// told is what is known of a run's memory once its programs are compiled, beside what was planned.
func (p *parts) told(r *plan.Report) func() string {
	s, ok := p.Stepper.(interface{ compiled() []backend.Program })
	if !ok || r == nil {
		return nil
	}
	return func() string {
		programs := s.compiled()
		if len(programs) == 0 {
			return ""
		}
		return fmt.Sprintf("memory: the largest program (%s) works in %s by the compiler's report, planned %s; the whole run is planned to take %s",
			programs[0].Name, plan.Size(programs[0].Temporary), plan.Size(r.Ledger.Working()), plan.Size(r.Ledger.Bytes()))
	}
}
