package ckpt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ftlab/ftlib"
)

var testRun = ftlib.Run{Name: "r", Model: ftlib.Model{Path: "m"}, Data: ftlib.Data{Train: "d.jsonl"}, Optim: ftlib.Optim{LearningRate: 1e-4}}

func ptr[T any](v T) *T { return &v }

// build makes a run with checkpoints of these validation losses; NaN-free, nil: none.
func build(t *testing.T, losses ...*float64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "r")
	d, err := Create(dir, testRun, NewEnv())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i, loss := range losses {
		step := (i + 1) * 10
		at := time.Unix(int64(step), 0).UTC()
		d.Event(ftlib.Event{Type: ftlib.EventStep, Step: step, Steps: 100, Loss: ptr(float64(step)), Time: at, Seen: step})
		if loss != nil {
			d.Event(ftlib.Event{Type: ftlib.EventEval, Step: step, Metrics: map[string]float64{"eval_loss": *loss}, Time: at})
		}
		if _, err := d.Save(Checkpoint{Step: step, EvalLoss: loss}, func(tmp string) error {
			return os.WriteFile(filepath.Join(tmp, "w"), []byte(fmt.Sprint("weights ", step)), 0o644)
		}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	dir := build(t, ptr(3.0), ptr(1.0), nil, ptr(1.0), ptr(2.0))
	for which, want := range map[string]int{"": 50, "latest": 50, "best": 20, "30": 30, "step-40": 40} {
		if c, err := Find(dir, which); err != nil || c.Step != want {
			t.Errorf("%q: step %d, %v; want %d", which, c.Step, err, want)
		}
	}
	for which, want := range map[string]string{"35": "no checkpoint of step 35; there are 10, 20, 30, 40, 50", "newest": "write latest, best or a step"} {
		if _, err := Find(dir, which); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", which, err)
		}
	}
	if _, err := Find(build(t, nil), "best"); err == nil || !strings.Contains(err.Error(), "no checkpoint with a validation loss") {
		t.Error(err)
	}
	if _, err := Find(build(t), ""); err == nil || !strings.Contains(err.Error(), "no checkpoint yet") {
		t.Error(err)
	}
}

func TestPruneKeepsTheLastAndTheBest(t *testing.T) {
	for _, c := range []struct {
		keep int
		want string
	}{{2, "[20 40 50]"}, {1, "[20 50]"}, {0, "[20 50]"}, {4, "[20 30 40 50]"}, {-1, "[10 20 30 40 50]"}} {
		dir := build(t, ptr(3.0), ptr(1.0), nil, ptr(1.5), ptr(2.0))
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Prune(c.keep); err != nil {
			t.Fatal(err)
		}
		d.Close()
		list, err := List(dir)
		var steps []int
		for _, c := range list {
			steps = append(steps, c.Step)
		}
		if err != nil || fmt.Sprint(steps) != c.want {
			t.Errorf("keep %d: %v, %v; want %s", c.keep, steps, err, c.want)
		}
	}
}

func TestDamagedCheckpointIsNotOne(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"short":   func(dir string) error { return os.Truncate(filepath.Join(dir, "w"), 3) },
		"missing": func(dir string) error { return os.Remove(filepath.Join(dir, "w")) },
		"no json": func(dir string) error { return os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o644) },
		"nothing": func(dir string) error { return os.Remove(filepath.Join(dir, stateFile)) },
	} {
		dir := build(t, nil, nil)
		if err := damage(filepath.Join(dir, "step-20")); err != nil {
			t.Fatal(err)
		}
		if c, err := Find(dir, "latest"); err != nil || c.Step != 10 {
			t.Errorf("%s: latest is %d, %v", name, c.Step, err)
		}
		if _, err := List(dir); err == nil || !strings.Contains(err.Error(), "step-20") {
			t.Errorf("%s: List says %v", name, err)
		}
		if _, err := Find(dir, "20"); err == nil || !strings.Contains(err.Error(), "step-20") {
			t.Errorf("%s: Find says %v", name, err)
		}
	}
	dir := build(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "step-10", "w"), []byte("weights 1O"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Find(dir, "latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(); err == nil || !strings.Contains(err.Error(), "not what was written") {
		t.Errorf("a changed byte of the same length: %v", err)
	}
}

func TestFailedSaveLeavesNothingBehind(t *testing.T) {
	dir := build(t, nil)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	full := errors.New("no space left on device")
	_, err = d.Save(Checkpoint{Step: 20}, func(tmp string) error {
		os.WriteFile(filepath.Join(tmp, "w"), []byte("half"), 0o644)
		return full
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "earlier checkpoints are untouched") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	if c, err := Find(dir, ""); err != nil || c.Step != 10 || c.Verify() != nil {
		t.Errorf("step %d, %v", c.Step, err)
	}
}

func TestTornMetrics(t *testing.T) {
	good := `{"time":"2026-01-01T00:00:00Z","type":"step","step":1}` + "\n" + `{"time":"2026-01-01T00:00:01Z","type":"step","step":2}` + "\n"
	for _, torn := range []string{"", `{"ti`, `{"time":"2026-01-01T00:00:02Z","type":"step","step":3}`, "\x00\x00\x00", "{\"type\n\x00\x00"} {
		dir := build(t)
		path := filepath.Join(dir, metricsFile)
		if err := os.WriteFile(path, []byte(good+torn), 0o644); err != nil {
			t.Fatal(err)
		}
		events, err := Events(dir)
		if err != nil || len(events) != 2 || events[1].Step != 2 {
			t.Errorf("%q: %d events, %v", torn, len(events), err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		d.Event(ftlib.Event{Type: ftlib.EventResume, Step: 2})
		d.Close()
		data, _ := os.ReadFile(path)
		if strings.HasPrefix(torn, "{\"type\n") {
			continue // a broken line that ends is not cut off
		}
		if !bytes.HasPrefix(data, []byte(good+`{"time":`)) {
			t.Errorf("%q: appended behind a torn line: %q", torn, data[len(good):])
		}
	}
	dir := build(t)
	os.WriteFile(filepath.Join(dir, metricsFile), []byte("x\n"+good), 0o644)
	if events, err := Events(dir); err == nil || !strings.Contains(err.Error(), "metrics.jsonl line 1") || len(events) != 2 {
		t.Errorf("a broken line in the middle: %d events, %v", len(events), err)
	}
}

func TestHistoryCountsEveryStepOnce(t *testing.T) {
	ev := func(kind string, step int) ftlib.Event { return ftlib.Event{Type: kind, Step: step} }
	all := []ftlib.Event{
		ev("start", 0), ev("step", 1), ev("step", 2), ev("save", 2), ev("step", 3), ev("error", 3),
		ev("resume", 2), ev("step", 3), ev("step", 4), ev("end", 4), ev("rollback", 1), ev("resume", 1), ev("step", 2),
	}
	var got []string
	for _, e := range history(all) {
		got = append(got, fmt.Sprint(e.Type, e.Step))
	}
	want := []string{"start0", "step1", "rollback1", "resume1", "step2"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestReadSummarizes(t *testing.T) {
	dir := build(t, ptr(3.0), ptr(1.0), ptr(2.0))
	info, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Status != Killed || info.Step != 30 || info.Steps != 100 || *info.FirstLoss != 10 || *info.TrainLoss != 30 ||
		*info.EvalLoss != 2 || *info.BestLoss != 1 || info.BestStep != 20 || info.Seen != 30 || info.Seconds != 20 {
		t.Errorf("%+v", info)
	}
	for message, want := range map[string]string{"finished": Finished, "stopped early: x": Finished, "interrupted after step 3": Interrupted} {
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		d.Event(ftlib.Event{Type: ftlib.EventEnd, Step: 30, Message: message})
		d.Close()
		if info, _ := Read(dir); info.Status != want {
			t.Errorf("%q: %s, want %s", message, info.Status, want)
		}
	}
	runs, err := Runs(filepath.Dir(dir))
	if err != nil || len(runs) != 1 || runs[0].Name != "r" {
		t.Errorf("%v, %v", runs, err)
	}
	if runs, err := Runs(filepath.Join(dir, "none")); err != nil || runs != nil {
		t.Errorf("%v, %v", runs, err)
	}
}

func TestCreateRefusesAnExistingRun(t *testing.T) {
	dir := build(t)
	if _, err := Create(dir, testRun, Env{}); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Error(err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a run") {
		t.Error(err)
	}
}

func TestRollbackSetsLaterCheckpointsAside(t *testing.T) {
	dir := build(t, ptr(3.0), ptr(2.0), ptr(1.0))
	for range 2 { // the second time step-30 has no free name
		c, err := Rollback(dir, "20")
		if err != nil || c.Step != 20 {
			t.Fatalf("%d, %v", c.Step, err)
		}
		info, err := Read(dir)
		if err != nil || info.Step != 20 || len(info.Checkpoints) != 2 || *info.EvalLoss != 2 || info.Status != Interrupted {
			t.Fatalf("%+v, %v", info, err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		d.Save(Checkpoint{Step: 30}, func(string) error { return nil })
		d.Close()
	}
	aside, _ := filepath.Glob(filepath.Join(dir, "rolled-back", "*"))
	if len(aside) != 2 {
		t.Errorf("set aside: %v", aside)
	}
}

func TestBranch(t *testing.T) {
	dir := build(t, ptr(3.0), ptr(2.0), ptr(2.5))
	to, err := Branch(dir, "best", "", []string{"optim.learning_rate=5e-5", "batch.max_steps=99"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := Read(to)
	if err != nil || info.Name != "r-from20-1" || info.Step != 20 || len(info.Checkpoints) != 1 || info.Run.Optim.LearningRate != 5e-5 {
		t.Fatalf("%+v, %v", info, err)
	}
	if err := info.Checkpoints[0].Verify(); err != nil {
		t.Error(err)
	}
	if again, err := Branch(dir, "best", "", nil); err != nil || filepath.Base(again) != "r-from20-2" {
		t.Errorf("%s, %v", again, err)
	}
	elsewhere := filepath.Join(t.TempDir(), "others")
	if set, err := Branch(dir, "best", "", []string{"name=mine", "output_dir=" + elsewhere}); err != nil || set != filepath.Join(elsewhere, "mine") || !Is(set) {
		t.Errorf("%s, %v", set, err)
	}
	for change, want := range map[string]string{
		"lora.r=4":                 "a branch cannot change lora.r",
		"data.train=other":         "a branch cannot change data.train",
		"seed=3":                   "a branch cannot change seed",
		"optim.learning_rate=-1":   "optim.learning_rate: -1",
		"optim.lr=1":               "unknown key",
		"batch.no_shuffle=true":    "a branch cannot change batch.no_shuffle",
		"optim.max_grad_norm=true": "is not a number",
	} {
		if _, err := Branch(dir, "", "x", []string{change}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
	if _, err := Branch(dir, "", "r-from20-1", nil); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a name that is taken: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestHashes(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "a.json")
	os.WriteFile(path, []byte("abc"), 0o644)
	os.WriteFile(filepath.Join(base, "x.png"), []byte("p"), 0o644)
	in, err := HashInputs("model", base)
	if err != nil || len(in) != 1 || in[0].Size != 3 || in[0].Hash != "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Fatalf("%+v, %v", in, err)
	}
	env := Env{Inputs: in}
	if err := env.Changed(in); err != nil {
		t.Error(err)
	}
	os.WriteFile(path, []byte("abd"), 0o644)
	now, _ := HashInputs("model", base)
	if err := env.Changed(now); err == nil || !strings.Contains(err.Error(), "model "+path+" has changed") {
		t.Error(err)
	}
	if err := env.Changed(nil); err == nil || !strings.Contains(err.Error(), "is not read now") {
		t.Error(err)
	}
	// Sampled: every sampled block counts, and so does the size.
	big := make([]byte, 80<<20)
	sum := func() string {
		h, err := hash(bytes.NewReader(big), int64(len(big)), 1<<20)
		if err != nil || !strings.HasPrefix(h, "sampled-sha256:") {
			t.Fatal(h, err)
		}
		return h
	}
	before := sum()
	big[len(big)-1] = 1
	if sum() == before {
		t.Error("the last byte does not count")
	}
}
