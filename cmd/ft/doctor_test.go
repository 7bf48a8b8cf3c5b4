package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/backend"
)

func TestDoctor(t *testing.T) {
	t.Setenv("FT_TEST_IS_FT", "1")
	code, stdout, stderr := ft(t, "doctor", "--json")
	var d diagnosis
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
	}
	if code != exitOK || !d.OK {
		t.Errorf("exit code %d, problems %q, %s", code, d.Problems, stderr)
	}
	for _, b := range d.Backends {
		if b.Usable && (b.Check == nil || !b.Check.Right) {
			t.Errorf("%s: %+v", b.Name, b)
		}
	}
	if d.Uses == "" || d.Why == "" || d.Machine.Cores < 1 {
		t.Errorf("incomplete: %+v", d)
	}
}

func TestDoctorFindsBrokenPlugin(t *testing.T) {
	if !backend.XLABuiltIn {
		t.Skip("SKIPPED: built without XLA")
	}
	t.Setenv("FT_TEST_IS_FT", "1")
	dir := t.TempDir()
	plugin := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	if err := os.WriteFile(plugin, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", dir)
	code, stdout, stderr := ft(t, "doctor")
	if code != exitBackend {
		t.Errorf("exit code %d, want %d", code, exitBackend)
	}
	if !strings.Contains(stdout, "BROKEN") || !strings.Contains(stderr, "remove "+plugin) || !strings.Contains(stderr, "scripts/lab --setup") {
		t.Errorf("no fix in\n%s\n%s", stdout, stderr)
	}
}

func TestDoctorUnknownBackend(t *testing.T) {
	t.Setenv("FT_TEST_IS_FT", "1")
	t.Setenv(backend.Env, "nonsense")
	if code, _, stderr := ft(t, "doctor"); code != exitBackend || !strings.Contains(stderr, backend.Env) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
