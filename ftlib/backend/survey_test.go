package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put makes an empty file and its folders.
func put(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindPluginsFirstFolderWins(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	put(t, a, "libother.so")
	first := put(t, a, "cpu", "some_package", "pjrt_c_api_cpu_plugin.so")
	put(t, b, "pjrt_c_api_cpu_plugin.so")
	gpu := put(t, b, "cuda", "jax_plugins", "xla_cuda13", "xla_cuda_plugin.so")
	cuda, cpu := findPlugins([]string{a, b})
	if cpu != first || cuda != gpu {
		t.Errorf("found %q and %q, want %q and %q", cuda, cpu, gpu, first)
	}
	if cuda, cpu := findPlugins([]string{t.TempDir(), filepath.Join(a, "missing")}); cuda != "" || cpu != "" {
		t.Errorf("found %q and %q in empty folders", cuda, cpu)
	}
}

func TestPluginVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plugins")
	so := put(t, dir, "cpu", "some_pjrt_cpu", "pjrt_c_api_cpu_plugin.so")
	put(t, dir, "cpu", "some_pjrt_cpu-1.2.3.dist-info", "METADATA")
	if got := pluginVersion(so); got != "some-pjrt-cpu 1.2.3" {
		t.Errorf("version %q", got)
	}
	if got := pluginVersion(put(t, t.TempDir(), "pjrt_c_api_cpu_plugin.so")); got != "" {
		t.Errorf("version %q of a file without one", got)
	}
}

func TestPluginFoldersOrder(t *testing.T) {
	a, b, checkout := t.TempDir(), t.TempDir(), t.TempDir()
	lab := filepath.Dir(put(t, checkout, ".lab", "plugins", "x"))
	sub := filepath.Dir(put(t, checkout, "notebooks", "deep", "x"))
	t.Chdir(sub)
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", a)
	t.Setenv("FTLAB_PLUGINS", b+string(filepath.ListSeparator)+a)
	dirs := PluginFolders()
	if len(dirs) < 3 || dirs[0] != a || dirs[1] != b || dirs[2] != lab {
		t.Errorf("folders %q, want first %q", dirs, []string{a, b, lab})
	}
}

func TestSurveySaysWhy(t *testing.T) {
	dir := t.TempDir()
	so := put(t, dir, "pjrt_c_api_cpu_plugin.so")
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", dir)
	t.Setenv(Env, "")
	t.Setenv("GOMLX_BACKEND", "")
	r := Survey()
	cpu := r.Candidate(CPU)
	if !XLABuiltIn {
		if cpu.Usable || cpu.Fix == "" {
			t.Errorf("built without XLA, but %+v", cpu)
		}
		return
	}
	if !cpu.Usable || cpu.Plugin != so {
		t.Errorf("%+v, want usable with %s", cpu, so)
	}
	if r.GPU == "" && r.Chosen != CPU {
		t.Errorf("chosen %q without a GPU, want %q", r.Chosen, CPU)
	}
	for _, c := range r.Candidates {
		if c.Why == "" {
			t.Errorf("%s: no reason", c.Name)
		}
	}
	t.Setenv(Env, "go")
	if r := Survey(); r.Chosen != Go || !strings.Contains(r.Why, Env) {
		t.Errorf("with %s=go: %q because %q", Env, r.Chosen, r.Why)
	}
}
