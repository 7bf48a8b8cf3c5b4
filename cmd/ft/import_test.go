package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
)

func TestImport(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "trl.yaml"), filepath.Join(dir, "run.yaml")
	if err := os.WriteFile(from, []byte("model_name_or_path: m\ndataset_name: d\nbeta: 0.3\nfsdp: full_shard\nlogging_steps: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := ft(t, "import", from, "-o", to)
	if code != 0 {
		t.Fatalf("%d %s", code, stderr)
	}
	for _, want := range []string{"kept     3  beta: 0.3 ", "lost     4  fsdp: full_shard", "unused   5  logging_steps: 1", "method.dpo.beta=0.3", "1 of "} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
	run, err := ftlib.ReadFile(to)
	if err != nil || run.Validate() != nil || run.Method.DPO.Beta != 0.3 || run.Optim.LearningRate != 1e-6 {
		t.Errorf("%+v, %v", run, err)
	}
	if code, _, stderr := ft(t, "import", from, "-o", to); code != exitUsage || !strings.Contains(stderr, "nothing is overwritten") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, stdout, _ := ft(t, "import", from, "--method", "grpo"); code != 0 || !strings.Contains(stdout, "grpo") {
		t.Errorf("%d %s", code, stdout)
	}
	if code, _, stderr := ft(t, "import", to); code != exitUsage || !strings.Contains(stderr, "run file already") {
		t.Errorf("%d %s", code, stderr)
	}
}
