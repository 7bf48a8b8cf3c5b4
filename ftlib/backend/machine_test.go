package backend

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
)

func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	if m.Cores < 1 || m.OS != runtime.GOOS {
		t.Errorf("%+v", m)
	}
	if runtime.GOOS == "linux" && (m.Memory <= 0 || m.Available > m.Memory) {
		t.Errorf("memory %d, available %d", m.Memory, m.Available)
	}
}

func TestParseGPUs(t *testing.T) {
	got := parseGPUs("Some GPU 80GB, 81559, 580.65.06\nbroken line\nOther, 24576, 550.1\n")
	want := []GPU{{"Some GPU 80GB", 81559 << 20, "580.65.06"}, {"Other", 24576 << 20, "550.1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestColonFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "info")
	if err := os.WriteFile(path, []byte("MemTotal:  12 kB\nname\t: a: b\nname : second\nno colon\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := colonFile(path)
	if got["name"] != "a: b" || kilobytes(got["MemTotal"]) != 12<<10 || len(got) != 2 {
		t.Errorf("%q", got)
	}
}
