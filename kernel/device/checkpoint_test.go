package device_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/ftlib/backend"
	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// keepValues keeps one tensor a name.
func keepValues(t testing.TB, b *session.Backend, named map[string][]float32) {
	t.Helper()
	m := map[string]compute.Buffer{}
	for name, v := range named {
		m[name] = upload(t, b, v...)
	}
	if err := b.Keep(m); err != nil {
		t.Fatal(err)
	}
	for _, x := range m {
		if err := x.Finalize(); err != nil {
			t.Fatal(err)
		}
	}
}

// keptValues reads everything kept.
func keptValues(t testing.TB, b *session.Backend) map[string][]float32 {
	t.Helper()
	bound, err := b.Bind("")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]float32{}
	for name, x := range bound {
		m[name] = read(t, x)
		if err := x.Finalize(); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func same(a, b map[string][]float32) bool {
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			return false
		}
	}
	return len(a) == len(b)
}

func dataFiles(t testing.TB, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// All types and shapes come back in another server, two names of one buffer as one.
func TestCheckpointRestore(t *testing.T) {
	kinds(t, func(t *testing.T, real compute.Backend) {
		dir := filepath.Join(t.TempDir(), "made", "saved")
		_, addr := serve(t, real, device.Options{})
		a := client(t, addr)
		want, kept := map[string][]byte{}, map[string]compute.Buffer{}
		for i, d := range []dtypes.DType{dtypes.Float32, dtypes.Float64, dtypes.BFloat16, dtypes.Float16, dtypes.Int64, dtypes.Int32, dtypes.Int8,
			dtypes.Uint64, dtypes.Uint32, dtypes.Uint16, dtypes.Uint8, dtypes.Bool, dtypes.Uint4, dtypes.Complex64} {
			for _, dims := range [][]int{{2, 3}, {}, {0, 4}} {
				if d == dtypes.Uint4 && real.Name() != "go" {
					continue // XLA takes and gives another layout: see TestCheckpointPacked
				}
				s := shapes.Make(d, dims...)
				flat := dtypes.MakeAnySlice(d, s.Size())
				raw := dtypes.UnsafeByteSliceFromAny(flat)
				for j := range raw {
					raw[j] = byte(i+j) & 1
				}
				x, err := a.BufferFromFlatData(0, flat, s)
				if err != nil {
					t.Fatal(err)
				}
				name := fmt.Sprintf("all/%s-%d", d, s.Size())
				want[name], kept[name] = bytes.Clone(raw), x
			}
		}
		kept["again"], want["again"] = kept["all/Float32-6"], want["all/Float32-6"]
		kept["__metadata__"], want["__metadata__"] = kept["all/Int32-6"], want["all/Int32-6"]
		if err := a.Keep(kept); err != nil {
			t.Fatal(err)
		}
		saved, err := a.Checkpoint(dir)
		if err != nil {
			t.Fatal(err)
		}
		if saved.Tensors != len(want) || saved.Written != saved.Bytes || saved.Time == 0 {
			t.Errorf("%+v", saved)
		}
		s2, addr2 := serve(t, real, device.Options{})
		b := client(t, addr2)
		keepValues(t, b, map[string][]float32{"other": {1}})
		if _, err := b.Restore(dir); err != nil {
			t.Fatal(err)
		}
		if n := s2.Stats().Buffers; n != len(want)-1 { // two names fewer, "other" more
			t.Errorf("%d buffers for %d names", n, len(want)+1)
		}
		bound, err := b.Bind("")
		if err != nil {
			t.Fatal(err)
		}
		for name, raw := range want {
			x := bound[name]
			if x == nil {
				t.Errorf("%s is not there", name)
				continue
			}
			s, _ := x.Shape()
			if was, _ := kept[name].Shape(); !s.Equal(was) {
				t.Errorf("%s has the shape %s", name, s)
			}
			flat := dtypes.MakeAnySlice(s.DType, s.Size())
			if err := x.ToFlatData(flat); err != nil {
				t.Fatal(err)
			}
			if got := dtypes.UnsafeByteSliceFromAny(flat); !bytes.Equal(got, raw) {
				t.Errorf("%s: %v, saved was %v", name, got, raw)
			}
		}
		if bound["other"] == nil {
			t.Error("restoring dropped another name")
		}
	})
}

// Four-bit numbers come back as they are in XLA, which has another layout for them.
func TestCheckpointPacked(t *testing.T) {
	real, err := backend.Open(backend.CPU)
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	_, addr := serve(t, real, device.Options{})
	b := client(t, addr)
	to := func(from, to dtypes.DType) compute.Executable {
		builder := b.Builder("convert")
		f := builder.Main()
		x, err := f.Parameter("x", shapes.Make(from, 6), nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err := f.ConvertDType(x, to)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Return([]compute.Value{y}, nil); err != nil {
			t.Fatal(err)
		}
		e, err := builder.Compile()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	want := []float32{0, 3, 7, 8, 15, 1}
	if err := b.Keep(map[string]compute.Buffer{"codes": execute(t, to(dtypes.Float32, dtypes.Uint4), nil, upload(t, b, want...))}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Drop(""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Restore(dir); err != nil {
		t.Fatal(err)
	}
	m, err := b.Bind("codes")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, execute(t, to(dtypes.Uint4, dtypes.Float32), nil, m["codes"])); !slices.Equal(got, want) {
		t.Errorf("%v came back", got)
	}
}

// A second checkpoint writes what is new, and no file stays that is not needed.
func TestCheckpointWritesWhatIsNew(t *testing.T) {
	dir := t.TempDir()
	_, addr := serve(t, goBackend(t), device.Options{})
	b := client(t, addr)
	base, adapter := make([]float32, 1000), make([]float32, 10)
	keepValues(t, b, map[string][]float32{"base": base, "lora/a": adapter, "lora/b": adapter})
	for i, want := range []int64{4080, 0, 80, 80, 80} {
		if i > 1 {
			adapter = slices.Repeat([]float32{float32(i)}, 10)
			keepValues(t, b, map[string][]float32{"lora/a": adapter, "lora/b": adapter})
		}
		saved, err := b.Checkpoint(dir)
		if err != nil || saved.Written != want || saved.Bytes != 4080 {
			t.Errorf("checkpoint %d: %+v, %v; want %d bytes written", i, saved, err, want)
		}
		if files := dataFiles(t, dir); len(files) > 2 {
			t.Errorf("checkpoint %d: %v", i, files)
		}
	}
	// A file of which little is left is written again.
	keepValues(t, b, map[string][]float32{"base": {1}})
	if saved, err := b.Checkpoint(dir); err != nil || saved.Written > 100 || len(dataFiles(t, dir)) > 2 {
		t.Errorf("%+v, %v, %v", saved, err, dataFiles(t, dir))
	}
	_, addr2 := serve(t, goBackend(t), device.Options{})
	c := client(t, addr2)
	if _, err := c.Restore(dir); err != nil {
		t.Fatal(err)
	}
	if got, want := keptValues(t, c), keptValues(t, b); !same(got, want) {
		t.Errorf("restored %v, kept was %v", got, want)
	}
	// Another server that goes on there writes what is new, too, and the first one
	// notices that somebody else has written.
	if saved, err := c.Checkpoint(dir); err != nil || saved.Written != 0 {
		t.Errorf("after a restore: %+v, %v", saved, err)
	}
	if saved, err := b.Checkpoint(dir); err != nil || saved.Written != saved.Bytes {
		t.Errorf("after another server: %+v, %v", saved, err)
	}
}

// Whatever is wrong with a checkpoint, restoring says which file, and keeps nothing.
func TestDamagedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	_, addr := serve(t, goBackend(t), device.Options{})
	b := client(t, addr)
	keepValues(t, b, map[string][]float32{"a": {1, 2}, "b": {3, 4}})
	if _, err := b.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	data := dataFiles(t, dir)[0]
	index := filepath.Join(dir, "kept.json")
	whole := map[string][]byte{}
	for _, f := range []string{data, index} {
		var err error
		if whole[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Drop(""); err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) []byte { return []byte(strings.ReplaceAll(string(whole[index]), old, new)) }
	flip := bytes.Clone(whole[data])
	flip[len(flip)-1] ^= 1
	for what, c := range map[string]struct {
		file  string
		bytes []byte
		says  string
	}{
		"cut":          {data, whole[data][:len(whole[data])-1], filepath.Base(data)},
		"one bit":      {data, flip, "not the ones that were written"},
		"empty":        {data, nil, filepath.Base(data)},
		"no data":      {data, []byte("gone"), filepath.Base(data)},
		"half index":   {index, whole[index][:len(whole[index])/2], "kept.json"},
		"other format": {index, edit("tensors 1", "tensors 9"), "tensors 9"},
		"outside":      {index, edit("kept-", "../kept-"), "damaged"},
		"shape":        {index, edit("  2\n", "  3\n"), "bytes"},
		"negative":     {index, edit("  2\n", "  -2\n"), "shape"},
		"huge":         {index, edit("  2\n", "  123456789012\n"), "over the limit"},
		"no such type": {index, edit("Float32", "Float31"), "Float31"},
		"no such key":  {index, edit(`"key": "a"`, `"key": "c"`), `"c"`},
	} {
		if err := os.WriteFile(c.file, c.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Restore(dir); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", what, err)
		}
		if kept, err := b.List(); err != nil || len(kept) != 0 {
			t.Errorf("%s: kept %v, %v", what, kept, err)
		}
		if err := os.WriteFile(c.file, whole[c.file], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Restore(dir); err != nil {
		t.Errorf("put right again: %v", err)
	}
	if _, err := b.Restore(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a folder that does not exist was restored")
	}
}

// A server with a folder saves by itself what changes, and when it ends.
func TestServerSavesByItself(t *testing.T) {
	state := filepath.Join(socketDir(t), "state")
	o := device.Options{State: state, Every: 1}
	var addr string
	t.Run("saves", func(t *testing.T) {
		var s *device.Server
		s, addr = serve(t, goBackend(t), o)
		b := client(t, addr)
		keepValues(t, b, map[string][]float32{"w": {1, 2}})
		for s.Stats().Checkpoint.Tensors != 1 {
			runtime.Gosched()
		}
		first := s.Stats().Checkpoint
		keepValues(t, b, map[string][]float32{"w": {3, 4}})
		for s.Stats().Checkpoint.Time == first.Time {
			runtime.Gosched()
		}
		keepValues(t, b, map[string][]float32{"w": {5, 6}})
		if err := b.Stop(); err != nil { // saves this one
			t.Error(err)
		}
	})
	t.Run("restores", func(t *testing.T) {
		s := device.New(goBackend(t), o)
		if text, err := s.Recover(nil, false); err != nil || text != "" {
			t.Errorf("%q, %v", text, err)
		}
		b := client(t, serveThis(t, s))
		if got := keptValues(t, b); !same(got, map[string][]float32{"w": {5, 6}}) {
			t.Errorf("kept %v", got)
		}
		if text := b.Notice(); text != "" {
			t.Errorf("after an orderly end: %q", text)
		}
		if _, err := b.Drop("w"); err != nil {
			t.Error(err)
		}
	}) // ends, and saves that nothing is kept
	t.Run("nothing", func(t *testing.T) {
		s := device.New(goBackend(t), o)
		if _, err := s.Recover(nil, false); err != nil {
			t.Fatal(err)
		}
		b := client(t, serveThis(t, s))
		if got := keptValues(t, b); len(got) != 0 {
			t.Errorf("kept %v", got)
		}
		keepValues(t, b, map[string][]float32{"v": {7}})
		if _, err := b.Checkpoint(""); err != nil {
			t.Error(err)
		}
		keepValues(t, b, map[string][]float32{"v": {8}})
		if err := b.Abandon(); err != nil {
			t.Error(err)
		}
	})
	t.Run("fresh", func(t *testing.T) {
		s := device.New(goBackend(t), o)
		if _, err := s.Recover(nil, true); err != nil {
			t.Fatal(err)
		}
		b := client(t, serveThis(t, s))
		if got := keptValues(t, b); len(got) != 0 {
			t.Errorf("kept %v", got)
		}
		if _, err := b.Restore(state + ".before"); err != nil {
			t.Error(err)
		}
		if got := keptValues(t, b); !same(got, map[string][]float32{"v": {7}}) && !same(got, map[string][]float32{"v": {8}}) {
			t.Errorf("moved aside was %v", got)
		}
	})
}

// What cannot be restored is moved aside, the server starts, and says so.
func TestRecoverFromDamage(t *testing.T) {
	state := filepath.Join(socketDir(t), "state")
	o := device.Options{State: state}
	s := device.New(goBackend(t), o)
	if _, err := s.Recover(nil, false); err != nil {
		t.Fatal(err)
	}
	t.Run("saves", func(t *testing.T) {
		keepValues(t, client(t, serveThis(t, s)), map[string][]float32{"w": {1, 2}})
	})
	file := dataFiles(t, state)[0]
	if err := os.Truncate(file, 20); err != nil {
		t.Fatal(err)
	}
	s = device.New(goBackend(t), o)
	text, err := s.Recover(nil, false)
	if err != nil || !strings.Contains(text, "could not be restored") || !strings.Contains(text, filepath.Base(file)) || !strings.Contains(text, state+".damaged") {
		t.Errorf("%q, %v", text, err)
	}
	b := client(t, serveThis(t, s))
	if got := b.Notice(); got != text {
		t.Errorf("notice %q", got)
	}
	if len(dataFiles(t, state+".damaged")) != 1 || len(dataFiles(t, state)) != 0 {
		t.Error("the damaged files are not in their place")
	}
	// A server that dies again and again while it restores does so once.
	keepValues(t, b, map[string][]float32{"w": {1, 2}})
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	for dir := state; len(dataFiles(t, dir)) == 0; {
		runtime.Gosched()
	}
	if err := os.WriteFile(filepath.Join(state, "restoring"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = device.New(goBackend(t), o)
	if text, err := s.Recover(nil, false); err != nil || !strings.Contains(text, "died while it restored") {
		t.Errorf("%q, %v", text, err)
	}
	serveThis(t, s)
}

// What a checkpoint says about itself is for people and other programs, too.
func TestIndexIsReadable(t *testing.T) {
	dir := t.TempDir()
	_, addr := serve(t, goBackend(t), device.Options{})
	b := client(t, addr)
	keepValues(t, b, map[string][]float32{"m/w": {1, 2}})
	if _, err := b.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "kept.json"))
	if err != nil {
		t.Fatal(err)
	}
	var x struct {
		Tensors []struct {
			Name, DType, File, Key string
			Shape                  []int
		}
	}
	if err := json.Unmarshal(data, &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Tensors) != 1 || x.Tensors[0].Name != "m/w" || x.Tensors[0].DType != "Float32" || !slices.Equal(x.Tensors[0].Shape, []int{2}) {
		t.Errorf("%s", data)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 && filepath.Base(dir) == "saved" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
