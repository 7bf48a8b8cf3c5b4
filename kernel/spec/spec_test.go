package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkout makes a folder that looks like a set-up checkout.
func checkout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"go.mod", ".lab/bin/gonb", ".lab/bin/ft"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestInstall(t *testing.T) {
	root := checkout(t)
	for range 2 { // the second time replaces the first
		dir, err := Install(Kernel{Root: root, GoBin: "/opt/go/bin"})
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(root, ".lab/venv/share/jupyter/kernels", Name); dir != want {
			t.Errorf("installed in %s, want %s", dir, want)
		}
		data, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
		if err != nil {
			t.Fatal(err)
		}
		var k kernelJSON
		if err := json.Unmarshal(data, &k); err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{0, 5} { // ft and gonb
			if _, err := os.Stat(k.Argv[i]); err != nil || !filepath.IsAbs(k.Argv[i]) {
				t.Errorf("a program of the kernel is missing, or not absolute: %s %v", k.Argv[i], err)
			}
		}
		if home, err := os.UserHomeDir(); err == nil && !strings.HasPrefix(root, home) && strings.Contains(string(data), home+"/") {
			t.Errorf("the spec names the folder of a user: %s", data)
		}
		if args := strings.Join(k.Argv, " "); !strings.Contains(args, "{connection_file}") || !strings.Contains(args, "--go_work="+root) {
			t.Errorf("argv %q", args)
		}
		if got, want := k.Env["PATH"], filepath.Join(root, ".lab/bin")+":/opt/go/bin:${PATH}"; got != want {
			t.Errorf("PATH %q, want %q", got, want)
		}
		if k.Env["GOMLX_NO_AUTO_INSTALL"] != "1" || k.Env["GOEXPERIMENT"] != "simd" {
			t.Errorf("environment %v", k.Env)
		}
		if _, err := os.Stat(filepath.Join(dir, "logo-svg.svg")); err != nil {
			t.Error(err)
		}
	}
}

func TestInstallErrors(t *testing.T) {
	if _, err := Install(Kernel{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "not an FTLab checkout") {
		t.Errorf("an empty folder: %v", err)
	}
	root := checkout(t)
	comma := root + ", copy"
	if err := os.Rename(root, comma); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(Kernel{Root: comma}); err == nil || !strings.Contains(err.Error(), "comma") {
		t.Errorf("a comma in the path: %v", err)
	}
	if err := os.Rename(comma, root); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, ".lab/bin/gonb")); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(Kernel{Root: root}); err == nil || !strings.Contains(err.Error(), "scripts/lab --setup") {
		t.Errorf("without gonb: %v", err)
	}
}
