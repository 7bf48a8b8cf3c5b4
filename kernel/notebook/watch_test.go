package notebook

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/health"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/tune"
	"ftlab/kernel/widget"
)

// toy is a model of one weight that falls towards zero; its state is real, so that it is
// saved, rolled back and resumed.
type toy struct{ w, beta float32 }

func (m *toy) Accumulate(b *corpus.Batch, _ float32) (tune.Sums, error) {
	return tune.Sums{Loss: float64(m.w) * b.Trained(), Tokens: b.Trained(), Metrics: map[string]float64{"accuracy": 0.5 * b.Trained()}}, nil
}
func (m *toy) Apply(h tune.Hyper) (float64, error) {
	m.w *= 1 - float32(h.LR)
	return float64(m.w), nil
}
func (m *toy) Evaluate(b *corpus.Batch) (tune.Sums, error) {
	return m.Accumulate(b, 1)
}
func (m *toy) State() (tune.State, error) {
	t, err := safetensors.FromFloat32s("w", safetensors.F32, []int{1}, []float32{m.w})
	return tune.State{Tensors: []safetensors.Tensor{t}}, err
}
func (m *toy) Restore(s tune.State) error {
	v, err := s.Tensors[0].Float32s()
	m.w = v[0]
	return err
}
func (m *toy) Save(string) error       { return nil }
func (m *toy) SaveMerged(string) error { return nil }
func (m *toy) Knobs() []ftlib.Knob {
	return []ftlib.Knob{{Key: "beta", Value: float64(m.beta), Min: 0, Max: 5}}
}
func (m *toy) Turn(_ string, v float64) error { m.beta = float32(v); return nil }

// rows is one batch again and again.
type rows struct{ at int }

func (r *rows) PerEpoch() int { return 1000 }
func (r *rows) Next() (*corpus.Batch, bool, error) {
	r.at++
	return &corpus.Batch{B: 1, T: 2, IDs: []int32{1, 2}, Mask: []float32{0, 1}, Pos: []int32{0, 1}, Seg: []int32{1, 1}}, false, nil
}
func (r *rows) Cursor() (json.RawMessage, error) { return json.Marshal(r.at) }
func (r *rows) Seek(c json.RawMessage) error     { return json.Unmarshal(c, &r.at) }

// toyRun begins a run of many steps; gate lets it take one each time it is read from.
func toyRun(t *testing.T, steps int, gate func(ftlib.Event) error) (dir string, done chan tune.Result) {
	t.Helper()
	run := ftlib.Run{Name: "toy", Out: t.TempDir(), Model: ftlib.Model{Path: "m"}, Data: ftlib.Data{Train: "rows.jsonl"}, LoRA: &ftlib.LoRA{}}
	run.Optim.LearningRate, run.Optim.Schedule = 1e-3, "constant"
	run.Batch.MaxSteps, run.Save.Every, run.Save.Keep, run.Eval.Every = steps, 10, -1, 10
	run = run.Resolve()
	d, err := ckpt.Create(run.Dir(), run, ckpt.Env{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rows{}
	held, _, _ := r.Next()
	l := &tune.Loop{Run: run, Stepper: &toy{3, 0.1}, Batches: r, Validation: []*corpus.Batch{held}, Dir: d, Sink: ftlib.SinkFunc(gate)}
	done = make(chan tune.Result, 1)
	go func() {
		res, err := l.Train(context.Background())
		d.Close()
		if err != nil {
			t.Error(err)
		}
		done <- res
	}()
	return run.Dir(), done
}

// notebookOf is the hub of a kernel that watches the run.
type notebookOf struct {
	*widget.Hub
	t   *testing.T
	dir string
}

func watching(t *testing.T, dir string) notebookOf {
	t.Helper()
	h := widget.NewHub()
	h.Host(HostedWatch, HostWatch)
	id, err := h.Start(HostedWatch, Watcher{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Start(HostedWatch, Watcher{Dir: dir})
	if err != nil || again != id {
		t.Errorf("a second view in the same kernel is %s, not %s, %v", again, id, err)
	}
	t.Cleanup(func() { h.Shutdown(context.Background()) })
	return notebookOf{h, t, dir}
}

func (n notebookOf) find(name string) widget.Model {
	n.t.Helper()
	m, ok, err := n.Find("watch " + n.dir + " " + name)
	if err != nil || !ok {
		n.t.Fatalf("no widget %q, %v", name, err)
	}
	return m
}

// page is a message of the page about a widget.
func (n notebookOf) page(name string, data any) {
	n.t.Helper()
	content, err := json.Marshal(map[string]any{"comm_id": n.find(name).ID, "data": data})
	if err != nil {
		n.t.Fatal(err)
	}
	n.Handle("comm_msg", content, nil, nil, func(string, any) {})
}

func (n notebookOf) press(name string) {
	n.t.Helper()
	n.page(name, map[string]any{"method": "custom", "content": map[string]any{"event": "click"}})
}

func (n notebookOf) move(name string, trait string, v any) {
	n.t.Helper()
	n.page(name, map[string]any{"method": "update", "state": map[string]any{trait: v}, "buffer_paths": []any{}})
}

// until waits for a widget to look as wanted.
func (n notebookOf) until(name string, ok func(widget.State) bool) {
	n.t.Helper()
	var s widget.State
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m, found, err := n.Find("watch " + n.dir + " " + name); err == nil && found {
			if s = m.State; ok(s) {
				return
			}
		}
	}
	n.t.Fatalf("widget %q stays %v", name, s)
}

func has(trait, want string) func(widget.State) bool {
	return func(s widget.State) bool { text, _ := s[trait].(string); return strings.Contains(text, want) }
}

func valued(v float64) func(widget.State) bool {
	return func(s widget.State) bool { got, _ := s["value"].(float64); return near(got, v) }
}

// Two notebooks watch one run: each sees what the other changes, both draw it, and the run
// obeys both.
func TestTwoNotebooksWatchOneRun(t *testing.T) {
	steps := make(chan bool)
	var begun atomic.Int64
	dir, done := toyRun(t, 100, func(e ftlib.Event) error {
		if e.Type == ftlib.EventStep {
			begun.Add(1)
			<-steps
		}
		return nil
	})
	ended := int64(0)
	advance := func(n int) {
		for range n {
			select {
			case steps <- true:
				ended++
			case <-time.After(time.Minute):
				t.Fatalf("the run takes no step after %d", ended)
			}
		}
	}
	// pressed waits until the run has been asked within a step, which can then end: asked
	// before it, the run would wait and never come to it.
	pressed := func(n notebookOf) {
		for deadline := time.Now().Add(time.Minute); begun.Load() == ended && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
		n.press("pause")
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if list, _ := filepath.Glob(filepath.Join(dir, "control", "[0-9]*.json")); len(list) > 0 {
				break
			}
		}
		advance(1)
	}
	a, b := watching(t, dir), watching(t, dir)
	pressed(a)
	b.until("head", has("value", ">paused<"))
	b.until("pause", has("description", "Go on"))
	a.move("knob learning_rate", "value", 0.002)
	b.until("knob learning_rate", valued(0.002))
	b.move("knob beta", "value", 0.7)
	a.until("knob beta", valued(0.7))
	a.move("knob beta", "value", 50.0)
	a.until("answer", has("value", "beta is 0 to 5, not 50"))
	a.until("knob beta", valued(0.7))
	live, err := ckpt.ReadLive(dir)
	if err != nil || live.Knobs[0].Value != 0.002 || !near(live.Knobs[3].Value, float64(float32(0.7))) {
		t.Errorf("the run has %+v, %v", live.Knobs, err)
	}
	b.press("pause")
	a.until("head", has("value", ">running<"))
	advance(24)
	a.until("checkpoints", func(s widget.State) bool { l, _ := s["_options_labels"].([]any); return len(l) >= 2 })
	pressed(b)
	a.until("pause", has("description", "Go on"))
	a.press("save")
	b.until("notes", has("value", "checkpoint saved"))
	labels, _ := a.find("checkpoints").State["_options_labels"].([]any)
	a.move("checkpoints", "index", float64(len(labels)-1))
	a.press("back")
	b.until("head", has("value", "step 10 of 100"))
	b.until("notes", has("value", "rolled back from step"))
	for _, n := range []notebookOf{a, b} {
		for _, panel := range []string{"loss", "gradient", "speed", "metric-shares"} {
			option, _ := json.Marshal(n.find("chart " + panel).State["option"])
			if !strings.Contains(string(option), "series") {
				t.Errorf("panel %s: %.200s", panel, option)
			}
		}
		if page, _ := n.find("table").State["value"].(string); !strings.Contains(page, "grad_norm") || !strings.Contains(page, "Axolotl") {
			t.Errorf("table %.300s", page)
		}
	}
	a.press("stop")
	<-done
	b.until("head", has("value", ">interrupted<"))
	b.until("pause", has("description", "Resume"))
	if s := b.find("stop").State; s["disabled"] != true {
		t.Error("what is over can still be stopped")
	}
	in, err := ckpt.Read(dir)
	if err != nil || in.Step != 10 {
		t.Errorf("step %d, %v", in.Step, err)
	}
	var who []string
	for _, e := range in.Events {
		if e.Control != nil && e.Control.Refused == "" {
			who = append(who, e.Control.Command)
			if !strings.HasSuffix(e.Control.By, "(notebook)") {
				t.Errorf("by %q", e.Control.By)
			}
		}
	}
	if len(who) == 0 || who[len(who)-1] != ckpt.DoStop {
		t.Errorf("history of controls: %v", who)
	}
	// A kernel that is started anew shows the whole run again.
	c := watching(t, dir)
	c.until("head", has("value", "step 10 of 100"))
	// Charts are drawn a few times a second: in the end both are the same.
	c.until("chart loss", func(s widget.State) bool {
		return reflect.DeepEqual(s["option"], a.find("chart loss").State["option"])
	})
}

// The model keeps little of a long run, draws what counts, and judges the newest steps.
func TestWatchedLongRun(t *testing.T) {
	run := ftlib.Run{Name: "long", Out: t.TempDir(), Model: ftlib.Model{Path: "m"}, Data: ftlib.Data{Train: "rows.jsonl"}, LoRA: &ftlib.LoRA{}}
	run = run.Resolve()
	d, err := ckpt.Create(run.Dir(), run, ckpt.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	rules, err := health.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	m := newWatched(run.Dir(), rules)
	write := func(from, to int, loss float64) {
		for i := from; i <= to; i++ {
			if err := d.Event(ftlib.Event{Type: ftlib.EventStep, Step: i, Steps: 40000, Loss: &loss, LR: 2e-4, GradNorm: 0.5, TokensPerSecond: 1000}); err != nil {
				t.Fatal(err)
			}
		}
		if changed, err := m.poll(); !changed || err != nil {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	for i := range 20 {
		write(i*1000+1, (i+1)*1000, 1.5)
	}
	if changed, err := m.poll(); changed || err != nil {
		t.Errorf("nothing is new: changed %v, %v", changed, err)
	}
	if n := len(m.events); n > mostSteps+1000 || n < mostSteps/4 || len(m.recent) != mostRecent {
		t.Errorf("%d and %d events are kept", n, len(m.recent))
	}
	if _, text := m.header(); !strings.Contains(text, "long: running · step 20000 of 40000 · loss 1.500 · 1,000 tokens/s") {
		t.Errorf("header %q", text)
	}
	write(20001, 20030, 9)
	_, found := m.table()
	states := map[string]health.State{}
	for _, f := range found {
		states[f.Name+string(f.Rule.Look)] = f.State
	}
	if states["loss"] != health.Suspect || states["lossgrowth"] != health.Wrong || states["grad_norm"] != health.Healthy {
		t.Errorf("states %v", states)
	}
	if err := d.Event(ftlib.Event{Type: ftlib.EventRollback, Step: 20000}); err != nil {
		t.Fatal(err)
	}
	write(20001, 20002, 1.5)
	f := m.panels()[0].Figure
	if x := f.Series[0].X; x[len(x)-1] != 20002 || len(x) > 800 {
		t.Errorf("%d points to step %v", len(x), x[len(x)-1])
	}
	for _, y := range f.Series[0].Y {
		if y > 2 {
			t.Error("what was rolled back is drawn")
			break
		}
	}
}

func TestWatchInATerminal(t *testing.T) {
	dir, done := toyRun(t, 30, func(ftlib.Event) error { return nil })
	text := plain(t, func() { Watch(dir) })
	<-done
	for _, want := range []string{"sft with LoRA", "step 10: validation loss", "toy: finished · step 30 of 30"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := plain(t, func() { Watch(filepath.Join(dir, "none")) }); !strings.Contains(text, "is not a run") {
		t.Errorf("%s", text)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte("rules:\n- {metric: x}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text := plain(t, func() { Watcher{Dir: dir, Rules: rules}.Show() }); !strings.Contains(text, "rule 1 (x)") {
		t.Errorf("%s", text)
	}
}

// Under gonb alone the cell follows the run with a chart, which stays as its record.
func TestWatchWithoutWidgets(t *testing.T) {
	dir, done := toyRun(t, 30, func(ftlib.Event) error { return nil })
	<-done
	sent := cellOutputs(t, func() { Watch(dir) })
	if !slices.ContainsFunc(sent, func(d *protocol.DisplayData) bool { return strings.Contains(mime(d, "image/svg+xml"), "<svg") }) {
		t.Errorf("no picture in %d outputs", len(sent))
	}
}
