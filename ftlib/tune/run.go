package tune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/tensorboard"
)

// Options are what a run needs besides its specification. The zero value trains
// silently and keeps the run in its directory.
type Options struct {
	Sink   ftlib.Sink // receives every event besides metrics.jsonl; nil: none
	Resume bool       // go on with the run of this specification if there is one
	Insist bool       // resume although the data or the model has changed

	// Model is trained where it is instead of one that is loaded; run.Model.Path may then
	// be empty. Without run.LoRA its adapter is trained on, with the optimizer's state that
	// the last run left, or all its weights if it has no adapter; run.LoRA makes a new
	// adapter. It stays the caller's, has what was trained when Run returns, and is kept
	// under the run's name (see package lab), also when the run was interrupted.
	Model *llm.Model

	// Rewards are judges of answers in Go, by the name that a reward's kind has in the
	// specification, for methods that sample.
	Rewards map[string]reward.Func

	open func(ftlib.Run) (*parts, error) // of tests
}

// parts is everything that a loop is made of, opened.
type parts struct {
	Stepper Stepper
	Data    *Data
	Inputs  []ckpt.Input
	Backend string
}

// Run trains a specification from its beginning, in a new run directory. When ctx
// is cancelled the step that is running is ended, a checkpoint saved, and the
// result says [ckpt.Interrupted]; that is no error.
func Run(ctx context.Context, run ftlib.Run, o Options) (Result, error) {
	run, g, err := o.given(run)
	if err != nil {
		return Result{}, err
	}
	if err := run.Validate(); err != nil {
		return Result{}, err
	}
	run = withAdapterTemplate(run)
	if o.Resume {
		dir, err := findSame(run)
		if err != nil {
			return Result{}, err
		}
		if dir != "" {
			return Resume(ctx, dir, o)
		}
	}
	run = run.Resolve()
	d, err := ckpt.Reserve(run.Dir()) // before minutes of work, not after
	if err != nil {
		return Result{}, fmt.Errorf("tune: %w", err)
	}
	ahead := planned(run, g)
	if err := foretell(ahead, o.Sink); err != nil {
		return Result{}, errors.Join(err, d.GiveUp(err))
	}
	p, err := o.parts(run, g)
	if err != nil {
		return Result{}, errors.Join(err, d.GiveUp(err))
	}
	defer p.close()
	l := o.loop(&run, p)
	if ahead != nil {
		l.about += "\n" + "memory: " + ahead.Verdict()
		l.told = p.told(ahead)
	}
	l.early = append(l.early, g.warnings(p.Stepper)...)
	env := ckpt.NewEnv()
	env.Inputs, env.Data, env.Backend = p.Inputs, p.Data.summary(), p.Backend
	if err := d.Begin(run, env); err != nil {
		return Result{}, errors.Join(err, d.GiveUp(err))
	}
	defer d.Close()
	l.Dir = d
	defer l.report()()
	return p.train(ctx, l, g, run.Name)
}

// train runs the loop, and leaves a model that was given as it should be.
func (p *parts) train(ctx context.Context, l *Loop, g *given, name string) (Result, error) {
	res, err := l.Train(ctx)
	p.close()
	if err != nil {
		return res, err
	}
	return res, g.keep(name)
}

// Resume goes on with the run in dir from its last whole checkpoint, exactly as if
// it had never stopped. Inputs that are not what they were are an error, unless
// o.Insist is set.
func Resume(ctx context.Context, dir string, o Options) (Result, error) {
	if ckpt.Known(dir) && !ckpt.Is(dir) { // it was started and never began
		run, err := ftlib.ReadFile(ckpt.StartFile(dir))
		if err != nil {
			return Result{}, err
		}
		o.Resume = false
		return Run(ctx, run, o)
	}
	run, err := ckpt.Spec(dir)
	if err != nil {
		return Result{}, err
	}
	if err := run.Validate(); err != nil {
		return Result{}, fmt.Errorf("tune: %s: %w", filepath.Join(dir, "run.yaml"), err)
	}
	run = run.Resolve()
	env, err := ckpt.ReadEnv(dir)
	if err != nil {
		return Result{}, err
	}
	// Held first: two processes that resume one run must not both load a model.
	d, err := ckpt.Open(dir)
	if err != nil {
		return Result{}, err
	}
	defer d.Close()
	var g *given
	if o.Model != nil {
		g = &given{Model: o.Model, changed: o.Model.Changed()}
	}
	p, err := o.parts(run, g)
	if err != nil {
		return Result{}, err
	}
	defer p.close()
	l := o.loop(&run, p)
	l.Dir = d
	if err := env.Changed(p.Inputs); err != nil {
		if !o.Insist {
			return Result{}, fmt.Errorf("tune: %s would not go on as it began:\n%w\nput back what it was, start a new run, or insist with --insist", dir, err)
		}
		l.early = append(l.early, err.Error())
	}
	if err := l.ResumeLatest(); err != nil {
		return Result{}, err
	}
	defer l.report()()
	return p.train(ctx, l, g, run.Name)
}

// report adds the sinks that the run asks for; what it returns closes them.
func (l *Loop) report() (stop func()) {
	if !slices.Contains(l.Run.ReportTo, "tensorboard") {
		return func() {}
	}
	w, before := tensorboard.NewWriter(filepath.Join(l.Dir.Path, "tensorboard")), l.Sink
	l.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
		err := w.Event(e)
		if before != nil {
			err = errors.Join(err, before.Event(e))
		}
		return err
	})
	return func() { w.Close() }
}

// parts opens the model and the data, both at once.
func (o Options) parts(run ftlib.Run, g *given) (*parts, error) {
	if o.open != nil {
		return o.open(run)
	}
	return openParts(run, g, o.Rewards)
}

// loop makes the loop of a run and writes into the specification what only now is
// known: the maximum length, the data type, and how often it evaluates and saves.
func (o Options) loop(run *ftlib.Run, p *parts) *Loop {
	plan := newSchedule(*run, p.Data.Train.PerEpoch(), len(p.Data.Validation) > 0)
	run.Eval.Every, run.Save.Every = orNever(plan.EvalEvery), orNever(plan.SaveEvery)
	run.Data.MaxLength = p.Data.MaxLength
	if s, ok := p.Stepper.(interface{ computeType() string }); ok {
		run.Model.DType = s.computeType()
	}
	return &Loop{
		Run: *run, Stepper: p.Stepper, Batches: p.Data.Train, Validation: p.Data.Validation, Where: p.Data.Where, Sink: o.Sink,
		early: p.Data.Warnings, about: p.about(), Beside: p.Data.beside(*run), Memory: p.memory(*run),
	}
}

// memory is how much memory is held by what computes a run.
func (p *parts) memory(run ftlib.Run) func() int64 {
	if p.Backend == "" {
		return nil
	}
	b, err := backend.Open(run.Model.Backend)
	if err != nil {
		return nil
	}
	return func() int64 { return backend.Resident(b) }
}

// about is the second line of what a run says at its start.
func (p *parts) about() string {
	a := &p.Data.Audit
	text := fmt.Sprintf("%s rows, %s tokens, %.0f %% of them trained; %d rows for validation", thousands(a.Kept), thousands(a.Tokens),
		100*float64(a.Trained)/float64(max(1, a.Tokens)), p.Data.Held)
	if p.Backend != "" {
		text += "; " + backendKind(p.Backend)
	}
	if o, ok := p.Stepper.(*online); ok {
		if words := o.ledger().words(); words != "" {
			text += "\n" + words
		}
	}
	return text
}

// backendKind is the short name in a backend's description, without the paths.
func backendKind(description string) string {
	kind, rest, _ := strings.Cut(description, ":")
	switch {
	case kind != "xla":
		kind, _, _ = strings.Cut(strings.ToLower(kind), " ")
		return kind
	case strings.Contains(strings.ToLower(rest), "cuda"):
		return "xla:cuda"
	}
	return "xla:cpu"
}

func orNever(every int) int {
	if every == 0 {
		return -1
	}
	return every
}

// close may be called again.
func (p *parts) close() {
	if c, ok := p.Stepper.(io.Closer); ok {
		c.Close()
		p.Stepper = nil
	}
}

// findSame looks for the run that a specification began: the directory it names, or
// else the newest run below Out with equal settings. It is "" when there is none.
func findSame(run ftlib.Run) (string, error) {
	if run.Name != "" {
		dir := run.Resolve().Dir()
		if !ckpt.Is(dir) {
			return "", nil
		}
		was, err := ckpt.Spec(dir)
		if err != nil {
			return "", err
		}
		if diff := differences(run, was); len(diff) > 0 {
			return "", fmt.Errorf("tune: %s was trained with other settings (%s); resume it with ft runs resume, branch it with ft runs branch, or give the new run another name",
				dir, strings.Join(diff, ", "))
		}
		return dir, nil
	}
	out := run.Resolve().Out
	entries, err := os.ReadDir(out)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("tune: %w", err)
	}
	type found struct {
		dir string
		age int64
	}
	var same []found
	for _, e := range entries {
		dir := filepath.Join(out, e.Name())
		was, err := ckpt.Spec(dir)
		if err != nil || was.Parent != nil || len(differences(run, was)) > 0 {
			continue
		}
		env, err := ckpt.ReadEnv(dir)
		if err != nil {
			continue
		}
		same = append(same, found{dir, env.Created.UnixNano()})
	}
	if len(same) == 0 {
		return "", nil
	}
	sort.SliceStable(same, func(i, j int) bool { return same[i].age < same[j].age })
	return same[len(same)-1].dir, nil
}

// differences names the settings that a and the resolved specification b of a run
// disagree on. What a leaves to be decided is no difference.
func differences(a, b ftlib.Run) []string {
	asked := a
	a = a.Resolve()
	a.Name, b.Name = "", ""
	a.Parent, b.Parent = nil, nil
	if asked.Eval.Every == 0 {
		a.Eval.Every = b.Eval.Every
	}
	if asked.Save.Every == 0 {
		a.Save.Every = b.Save.Every
	}
	if asked.Data.MaxLength == 0 {
		a.Data.MaxLength = b.Data.MaxLength
	}
	if asked.Model.DType == "" {
		a.Model.DType = b.Model.DType
	}
	if filepath.Clean(a.Out) == filepath.Clean(b.Out) {
		a.Out = b.Out
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	x, y := map[string]string{}, map[string]string{}
	for _, s := range a.Settings() {
		x[s[0]] = s[1]
	}
	for _, s := range b.Settings() {
		y[s[0]] = s[1]
	}
	var diff []string
	for _, key := range ftlib.Keys() {
		if x[key] != y[key] {
			diff = append(diff, key)
		}
	}
	return diff
}
