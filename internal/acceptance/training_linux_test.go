package acceptance

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// trainCell declares what trains, or goes on training, a run of 24 steps.
const trainCell = `import (
	"fmt"
	"os"

	"ftlab/ftlib"
	"ftlab/ftlib/tune"
	"ftlab/kernel/notebook"
)

func trainRun(root, out, name string) {
	run := ftlib.Run{
		Name: name, Out: out,
		Model: ftlib.Model{Path: root + "/models/ft-tiny"},
		Data:  ftlib.Data{Train: root + "/datasets/reviews/train.parquet", Limit: 64},
		LoRA:  &ftlib.LoRA{R: 4},
		Optim: ftlib.Optim{LearningRate: 1e-3},
		Batch: ftlib.Batch{Size: 2, MaxSteps: 24},
		Save:  ftlib.Save{Every: 1},
	}
	fmt.Println("pid", os.Getpid())
	notebook.Must(tune.Run(notebook.Context(), run, tune.Options{Resume: true, Sink: ftlib.SinkFunc(func(e ftlib.Event) error {
		if e.Type == ftlib.EventStep {
			fmt.Println("step", e.Step)
		}
		return nil
	})}))
	fmt.Println("trained")
}`

// A training in a cell that is ended in every way there is, at a random step, goes on in
// the next cell where it was; its losses are those of a training that was left alone, in
// another notebook on the same device server, bit for bit. The server's socket is stale
// at the start, and the server itself is killed in the end.
func TestTrainingThatIsKilled(t *testing.T) {
	t.Parallel()
	mark := NewMark(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: mark.Device(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	k, other := Start(t, Setup{Mark: mark}), Start(t, Setup{Mark: mark})
	root := Installed(t).Root
	for _, k := range []*Kernel{k, other} {
		if r := k.Run(trainCell); r.Status() != "ok" {
			t.Fatal(r.Text())
		}
	}
	cell := func(name string) string { return fmt.Sprintf("trainRun(%q, %q, %q)", root, mark.Dir, name) }
	alone := other.Cell(cell("alone"))

	rng := rand.New(rand.NewPCG(3, 4))
	pid := func(r *Request) int {
		for line := range strings.Lines(r.Text()) {
			if n, ok := strings.CutPrefix(line, "pid "); ok {
				pid, _ := strconv.Atoi(strings.TrimSpace(n))
				return pid
			}
		}
		return 0
	}
	kill := func(pid int, s syscall.Signal) {
		t.Helper()
		if pid <= 0 {
			t.Fatal("no process to kill")
		}
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
	at := 0 // step
	for _, fault := range []struct {
		name string
		do   func(r *Request)
	}{
		{"kill -9", func(r *Request) { kill(pid(r), syscall.SIGKILL) }},
		{"SIGTERM", func(r *Request) { kill(pid(r), syscall.SIGTERM) }},
		{"SIGINT", func(r *Request) { kill(pid(r), syscall.SIGINT) }},
		{"an interrupt", func(*Request) { k.Interrupt() }},
		{"kill -9 of gonb", func(*Request) { kill(mark.below(k, "gonb"), syscall.SIGKILL) }},
		{"kill -9 of the device server", func(*Request) {
			alone.Done()
			kill(mark.Find("ft", "device", "run").PID, syscall.SIGKILL)
		}},
	} {
		r := k.Cell(cell("killed"))
		at += 1 + rng.IntN(2)
		r.Says(fmt.Sprintf("step %d\n", at))
		fault.do(r)
		r.Done()
		if strings.Contains(r.Text(), "trained\n") && r.Status() == "ok" && fault.name == "kill -9" {
			t.Errorf("%s: the cell went on", fault.name)
		}
		at = max(at, len(losses(t, filepath.Join(mark.Dir, "killed")))) // it may have come further meanwhile
	}
	k.Want(cell("killed"), "trained")
	alone.Done()
	if alone.Status() != "ok" {
		t.Fatalf("the other notebook: %s", alone.Text())
	}
	got, want := losses(t, filepath.Join(mark.Dir, "killed")), losses(t, filepath.Join(mark.Dir, "alone"))
	if len(want) != 24 || len(got) != len(want) {
		t.Fatalf("%d losses, left alone %d; want 24", len(got), len(want))
	}
	for step, loss := range want {
		if got[step] != loss {
			t.Errorf("step %d: loss %s, left alone %s", step, got[step], loss)
		}
	}
	k.Shutdown()
	other.Shutdown()
	mark.Left()
}

// below finds a program below a kernel of several.
func (m *Mark) below(k *Kernel, name string) int {
	for _, p := range m.Processes() {
		if !p.Is(name) {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 1 { // gonb's parent is the reaper, whose parent is the kernel
			up, _ := os.ReadFile(fmt.Sprintf("/proc/%s/stat", f[1]))
			if _, rest, _ := strings.Cut(string(up), ") "); strings.HasPrefix(rest[1:], fmt.Sprintf(" %d ", k.Cmd.Process.Pid)) {
				return p.PID
			}
		}
	}
	return 0
}

// losses are those of a run's steps, as they are written.
func losses(t *testing.T, dir string) map[int]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for line := range strings.Lines(string(data)) {
		var e struct {
			Type string
			Step int
			Loss json.Number
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Type == "step" {
			out[e.Step] = e.Loss.String()
		}
	}
	return out
}
