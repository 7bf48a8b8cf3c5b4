package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ftlab/ftlib/corpus"
	"ftlab/internal/testkit"
)

// What a cell reads and writes through ft is what ft itself reads and writes. The cell here
// is a program built as cells are.
func TestCellsReadParquetThroughFt(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds two programs")
	}
	dir := t.TempDir()
	build := func(out, pkg string, flags ...string) {
		t.Helper()
		cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
		cmd.Dir = testkit.Root()
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	build(filepath.Join(dir, "ft"), "./cmd/ft")
	build(filepath.Join(dir, "cell"), "./internal/testkit/cell", "-tags=ftlab_session,netgo,osusergo")
	data := filepath.Join(testkit.Root(), "datasets", "steps", "validation.parquet")
	copied := filepath.Join(dir, "copy.parquet")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "cell"), args...)
		cmd.Env = append(cmd.Environ(), "PATH="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "FAILED " + string(out)
		}
		return string(out)
	}
	if got := run(data, copied); strings.HasPrefix(got, "FAILED") {
		t.Fatal(got)
	}
	var a, b []corpus.Row
	for path, to := range map[string]*[]corpus.Row{data: &a, copied: &b} {
		for row, err := range corpus.Open(path, corpus.OpenOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			row.File = ""
			*to = append(*to, row)
		}
	}
	if len(a) == 0 || !reflect.DeepEqual(a, b) {
		t.Errorf("%d rows went through a cell and came out as %d, or changed", len(a), len(b))
	}
	if got := run(filepath.Join(dir, "none.parquet"), copied); !strings.Contains(got, "none.parquet") || !strings.HasPrefix(got, "FAILED") {
		t.Errorf("a file that is not there: %s", got)
	}
	broken := filepath.Join(dir, "broken.parquet")
	if out, err := exec.Command("sh", "-c", "head -c 5000 "+data+" > "+broken).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	var want bytes.Buffer
	for _, err := range corpus.Open(broken, corpus.OpenOptions{}) {
		if err != nil {
			want.WriteString(err.Error())
			break
		}
	}
	if got := run(broken, copied); want.Len() == 0 || !strings.Contains(got, want.String()) {
		t.Errorf("a broken file: %s\nft itself says %s", got, want.String())
	}
}
