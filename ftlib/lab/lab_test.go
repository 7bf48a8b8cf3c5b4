package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/lab"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// other names the part of this test binary that runs in a process of its own.
const other = "FTLAB_LAB_TEST"

func TestMain(m *testing.M) {
	lab.Log = io.Discard
	if name := os.Getenv(other); name != "" {
		if err := cells[name](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve starts a device server for the test and makes it the backend of this process.
func serve(t *testing.T) *session.Backend {
	t.Helper()
	return serveWithin(t, 0)
}

// serveWithin limits what all tensors may take, in bytes; 0: nothing.
func serveWithin(t *testing.T, limit int64) *session.Backend {
	t.Helper()
	real := testkit.Backend(t)
	dir, err := os.MkdirTemp("", "lab") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	addr := filepath.Join(dir, "s")
	l, err := device.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s, done := device.New(real, device.Options{LimitBytes: limit}), make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Setenv(backend.Env, "session:")
	t.Setenv(session.EnvAddr, addr)
	b, err := session.Connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		<-done
		os.RemoveAll(dir)
	})
	return b
}

// cell runs one of cells in a process of its own, as a notebook's cell would be, and
// decodes what it prints.
func cell(t *testing.T, name string, out any) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), other+"="+name)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("cell %s: %v\n%s", name, err, errs.String())
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("cell %s printed %q: %v", name, text, err)
	}
}

// cells are what other processes do.
var cells = map[string]func() error{
	"sum": func() error {
		m, err := lab.Model("ft-tiny")
		if err != nil {
			return err
		}
		s, err := sums(m)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(s)
	},
	"adapter": func() error { // makes one, and keeps it
		m, err := lab.Model("ft-tiny")
		if err != nil {
			return err
		}
		if _, err := m.NewAdapter(ftlib.LoRA{R: 4}, 1); err != nil {
			return err
		}
		if err := lab.Keep("adapted", m); err != nil {
			return err
		}
		text, err := write(m)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(text)
	},
}

// sums reads every weight of a model.
func sums(m *llm.Model) (map[string]float64, error) {
	out := map[string]float64{}
	for _, name := range m.Names() {
		values, err := m.Weight(name)
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			out[name] += float64(v) * float64(i%7+1)
		}
	}
	return out, nil
}

// write has a model continue a prompt of fixed tokens.
func write(m *llm.Model) ([]int32, error) {
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{Weights: llm.SharedWeights})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	out, err := g.Generate(context.Background(), [][]int32{{1, 20, 30, 40}}, llm.Sampling{MaxNew: 8})
	if err != nil {
		return nil, err
	}
	return out[0].IDs, nil
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// both runs a test with a device server and in the process.
func both(t *testing.T, test func(t *testing.T)) {
	t.Run("session", func(t *testing.T) { serve(t); test(t) })
	t.Run("process", func(t *testing.T) {
		lab.Forget()
		test(t)
	})
}

func TestSecondProcessLoadsNothing(t *testing.T) {
	b := serveWithin(t, 9e6) // room for one model of 5.6 MB, not for two
	m := must[*llm.Model](t)(lab.Model("ft-tiny"))
	want := must[map[string]float64](t)(sums(m))
	before := must[session.Stats](t)(b.Stats())
	var got map[string]float64
	cell(t, "sum", &got)
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s sums up to %v in the other process, %v here", name, got[name], sum)
		}
	}
	if after := must[session.Stats](t)(b.Stats()); after.Kept != before.Kept || after.KeptBytes != before.KeptBytes {
		t.Errorf("the second process kept something: %d names, %d bytes; %d and %d before it", after.Kept, after.KeptBytes, before.Kept, before.KeptBytes)
	}
}

func TestAdapterOfAnotherProcess(t *testing.T) {
	b := serve(t)
	must[*llm.Model](t)(lab.Model("ft-tiny"))
	alone := must[session.Stats](t)(b.Stats())
	var want []int32
	cell(t, "adapter", &want)
	m := must[*llm.Model](t)(lab.Model("adapted"))
	if m.Adapter() == nil || m.Adapter().Spec.R != 4 {
		t.Fatalf("the adapter is %+v", m.Adapter())
	}
	if got := must[[]int32](t)(write(m)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it writes %v here, %v in the process that made it", got, want)
	}
	both := must[session.Stats](t)(b.Stats())
	list := must[lab.Residents](t)(lab.List())
	adapter := list[0].Adapter
	if more := both.KeptBytes - alone.KeptBytes; adapter == 0 || more < adapter || more > adapter+1<<16 {
		t.Errorf("keeping it took %d bytes more; the adapter alone has %d", more, adapter)
	}
}

func TestKeepIsASnapshot(t *testing.T) {
	both(t, func(t *testing.T) {
		m := must[*llm.Model](t)(lab.Model("ft-tiny"))
		e := must[*llm.Engine](t)(llm.NewEngine(m, llm.EngineOptions{}))
		name := m.Names()[0]
		was := must[[]float32](t)(m.Weight(name))
		if err := lab.Keep("mine", m); err != nil {
			t.Fatal(err)
		}
		other := must[*llm.Model](t)(lab.Model("mine"))
		if err := e.SetValue(name, tensors.FromShape(e.Value(name).Shape())); err != nil {
			t.Fatal(err)
		}
		for what, m := range map[string]*llm.Model{"the model got before": other, "the resident": must[*llm.Model](t)(lab.Model("mine"))} {
			if got := must[[]float32](t)(m.Weight(name)); got[0] != was[0] {
				t.Errorf("%s has %v after a change of the kept model, was %v", what, got[0], was[0])
			}
		}
		if !m.Changed() || other.Changed() {
			t.Errorf("changed: %v, want true; the other %v, want false", m.Changed(), other.Changed())
		}
		if err := lab.Keep("mine", m); err != nil { // instead of the first
			t.Fatal(err)
		}
		if got := must[[]float32](t)(must[*llm.Model](t)(lab.Model("mine")).Weight(name)); got[0] != 0 {
			t.Errorf("kept again, it has %v, want 0", got[0])
		}
		m.Close()
		if got := must[[]float32](t)(must[*llm.Model](t)(lab.Model("mine")).Weight(name)); got[0] != 0 {
			t.Errorf("when the model is closed, the resident has %v, want 0", got[0])
		}
	})
}

func TestListAndDrop(t *testing.T) {
	both(t, func(t *testing.T) {
		if text := must[lab.Residents](t)(lab.List()).String(); text != "nothing is resident" {
			t.Errorf("at first: %s", text)
		}
		m := must[*llm.Model](t)(lab.Model("ft-tiny"))
		if _, err := m.NewAdapter(ftlib.LoRA{R: 2}, 1); err != nil {
			t.Fatal(err)
		}
		if err := lab.Keep("owner/mine", m); err != nil {
			t.Fatal(err)
		}
		list := must[lab.Residents](t)(lab.List())
		if len(list) != 2 || list[0].Name != "ft-tiny" || list[1].Name != "owner/mine" {
			t.Fatalf("resident are %v", list)
		}
		params := int64(0)
		for _, name := range m.Names() {
			params += int64(len(must[[]float32](t)(m.Weight(name))))
		}
		tiny, mine := list[0], list[1]
		if tiny.Params != params || tiny.Weights != 4*params || tiny.Adapter != 0 || mine.Adapter != 4*int64(m.Adapter().Params()) {
			t.Errorf("%d parameters, %d and %d bytes; an adapter of %d: want %d, %d, 0 and %d", tiny.Params, tiny.Weights, tiny.Adapter, mine.Adapter, params, 4*params, 4*m.Adapter().Params())
		}
		if mine.Shared != tiny.Weights || mine.With != "ft-tiny" || list.Bytes() != tiny.Weights+mine.Adapter {
			t.Errorf("%d bytes are shared with %q, %d in all", mine.Shared, mine.With, list.Bytes())
		}
		for _, want := range []string{"owner/mine", "with ft-tiny", "together"} {
			if !strings.Contains(list.String(), want) || !strings.Contains(list.HTML(), want) {
				t.Errorf("the table lacks %q:\n%s", want, list)
			}
		}
		for _, name := range []string{"owner/mine", "ft-tiny"} {
			if err := lab.Drop(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := lab.Drop("ft-tiny"); !errors.Is(err, lab.ErrNotResident) {
			t.Errorf("dropped twice: %v", err)
		}
		if list := must[lab.Residents](t)(lab.List()); len(list) != 0 {
			t.Errorf("resident is still %v", list)
		}
	})
}

func TestDropFreesInTheServer(t *testing.T) {
	b := serve(t)
	m := must[*llm.Model](t)(lab.Model("ft-tiny"))
	if err := lab.Drop("ft-tiny"); err != nil {
		t.Fatal(err)
	}
	if got := must[[]float32](t)(m.Weight(m.Names()[0])); len(got) == 0 {
		t.Error("a program that uses the model lost it")
	}
	m.Close()
	if s := must[session.Stats](t)(b.Stats()); s.Kept != 0 || s.Bytes != 0 {
		t.Errorf("%d names are kept, %d bytes in use", s.Kept, s.Bytes)
	}
}

// What was loaded in four bits is not what a program gets that asks for the model in full.
func TestOpenGivesNoRoundedModel(t *testing.T) {
	both(t, func(t *testing.T) {
		rounded := must[*llm.Model](t)(lab.LoadAs("ft-tiny", llm.LoadOptions{Quantize: &llm.QuantOptions{}}))
		if rounded.Quantized() == nil {
			t.Fatal("it was not quantised")
		}
		m := must[*llm.Model](t)(lab.Open(rounded.Backend, rounded.Path, llm.LoadOptions{}))
		defer m.Close()
		if m.Quantized() != nil {
			t.Error("the resident model in four bits stands in for the one in full")
		}
	})
}

func TestChangedFilesAreReadAgain(t *testing.T) {
	both(t, func(t *testing.T) {
		var log bytes.Buffer
		lab.Log = &log
		defer func() { lab.Log = io.Discard }()
		dir := copyModel(t)
		m := must[*llm.Model](t)(lab.Model(dir))
		name := m.Names()[0]
		was := must[[]float32](t)(m.Weight(name))
		if must[*llm.Model](t)(lab.Model(dir)); log.Len() > 0 {
			t.Errorf("nothing has changed, but: %s", &log)
		}
		trained := must[*llm.Model](t)(lab.Model(dir))
		if _, err := trained.NewAdapter(ftlib.LoRA{R: 2}, 1); err != nil {
			t.Fatal(err)
		}
		if err := lab.Keep("trained", trained); err != nil {
			t.Fatal(err)
		}

		e := must[*llm.Engine](t)(llm.NewEngine(m, llm.EngineOptions{}))
		if err := e.SetValue(name, tensors.FromShape(e.Value(name).Shape())); err != nil {
			t.Fatal(err)
		}
		if err := m.Save(dir, safetensors.F32); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour) // whatever the file system's clock does
		if err := os.Chtimes(filepath.Join(dir, "model.safetensors"), later, later); err != nil {
			t.Fatal(err)
		}
		if got := must[[]float32](t)(must[*llm.Model](t)(lab.Model(dir)).Weight(name)); got[0] != 0 {
			t.Errorf("the first weight is %v, 0 in the file, %v before", got[0], was[0])
		}
		if !strings.Contains(log.String(), "read again") {
			t.Errorf("the log says %q", &log)
		}
		log.Reset()
		if again := must[*llm.Model](t)(lab.Model("trained")); again.Adapter() == nil {
			t.Error("what was trained is lost")
		}
		if !strings.Contains(log.String(), "stays as it is") {
			t.Errorf("of the trained model, the log says %q", &log)
		}
	})
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T) {
		must[*llm.Model](t)(lab.Model(filepath.Join(testkit.Root(), "models", "ft-tiny")))
		if list := must[lab.Residents](t)(lab.List()); len(list) != 1 || list[0].Name != "ft-tiny" {
			t.Errorf("a model of the checkout by its path is resident as %v", list)
		}
		for name, want := range map[string]string{
			"no-such-model": "here are ft-tiny",
			"":              "give a directory",
		} {
			if _, err := lab.Model(name); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Model(%q): %v; want %q in it", name, err, want)
			}
		}
		if err := lab.Keep(" ", must[*llm.Model](t)(lab.Model("ft-tiny"))); err == nil {
			t.Error("kept under no name")
		}
		if err := lab.Keep("x", nil); err == nil {
			t.Error("kept nothing")
		}
	})
}

// copyModel puts ft-tiny into a folder of the test.
func copyModel(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(testkit.Root(), "models", "ft-tiny"))); err != nil {
		t.Fatal(err)
	}
	return dir
}
