package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallListRemove(t *testing.T) {
	root, data, env := checkout(t), t.TempDir(), t.TempDir()
	t.Setenv("JUPYTER_DATA_DIR", data)
	t.Setenv("JUPYTER_PATH", "")
	t.Setenv("VIRTUAL_ENV", env)
	t.Setenv("CONDA_PREFIX", "")
	user, err := User()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []Where{user, Prefix(env)} {
		if _, err := Install(Kernel{Root: root, Where: w}); err != nil {
			t.Fatal(err)
		}
	}
	ours := func() (out []Installed) {
		t.Helper()
		all, err := List(Places())
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range all {
			if in.Kind != "system" { // a machine may have one of its own
				out = append(out, in)
			}
		}
		return out
	}
	got := ours()
	if len(got) != 2 || got[0].Kind != "user" || got[0].Dir != filepath.Join(data, "kernels", Name) || got[1].Kind != "prefix" || got[0].Broken != "" {
		t.Errorf("%+v", got)
	}
	if err := os.Remove(filepath.Join(root, ".lab/bin/ft")); err != nil {
		t.Fatal(err)
	}
	if got := ours(); !strings.Contains(got[0].Broken, "missing") {
		t.Errorf("its program is gone, but: %+v", got[0])
	}
	if _, err := Remove(user); err != nil {
		t.Error(err)
	}
	if _, err := Remove(user); err == nil || !strings.Contains(err.Error(), "no kernel ftlab") {
		t.Errorf("removed twice: %v", err)
	}
	if got := ours(); len(got) != 1 || got[0].Kind != "prefix" {
		t.Errorf("%+v", got)
	}
}
