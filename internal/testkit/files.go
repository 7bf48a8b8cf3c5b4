package testkit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Root is the top folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Golden is the path of a golden file, given below the folder that FTLAB_GOLDEN
// names (default: testdata at the top of the repository). The test fails when it
// is not there.
func Golden(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("FTLAB_GOLDEN")
	if dir == "" {
		dir = filepath.Join(Root(), "testdata")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("golden file missing: %v", err)
	}
	return path
}

// GoldenJSON decodes a golden JSON file into out.
func GoldenJSON(t testing.TB, name string, out any) {
	t.Helper()
	data, err := os.ReadFile(Golden(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// SharedData is the path of a real data file, given below the folder that
// FTLAB_DATA names (default: shared/data beside the repository). These files are
// not part of the project: the test is skipped, saying so, where they are absent.
func SharedData(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("FTLAB_DATA")
	if dir == "" {
		dir = filepath.Join(filepath.Dir(Root()), "shared", "data")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: real data file %s is not here (set FTLAB_DATA to its folder)", name)
	}
	return path
}
