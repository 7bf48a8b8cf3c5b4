package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/tune"
	"ftlab/internal/testkit"
)

// shared replaces "../data" in a path by where the real data is.
func shared(t *testing.T, path string) string {
	return testkit.SharedData(t, strings.TrimPrefix(path, "../data/"))
}

// TestExamplesTrain trains every specification in docs/examples for a few steps on
// the real files that it names.
func TestExamplesTrain(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Root(), "docs", "examples", "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			run, err := ftlib.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := run.Validate(); err != nil {
				t.Fatal(err)
			}
			out := t.TempDir()
			code, stdout, stderr := ft(t, "train", file, "--json", "--set", "output_dir="+out, "--set", "name=r",
				"--set", "model.path="+shared(t, run.Model.Path), "--set", "data.train="+shared(t, run.Data.Train),
				"--set", "data.max_length=128", "--set", "batch.per_device_train_batch_size=4", "--set", "batch.max_steps=12",
				"--set", "eval.eval_steps=3", "--set", "eval.max_eval_rows=16")
			if code == exitBackend {
				t.Skipf("SKIPPED: no backend: %s", stderr)
			}
			var res tune.Result
			if err := json.Unmarshal([]byte(stdout), &res); code != exitOK || err != nil {
				t.Fatalf("exit code %d, %v\n%s", code, err, stderr)
			}
			info, err := ckpt.Read(filepath.Join(out, "r"))
			if err != nil || info.Status != ckpt.Finished || info.Step != 12 {
				t.Fatalf("%s at step %d, %v", info.Status, info.Step, err)
			}
			eval := curvesOf(info)[1].values
			// The model was made from stories like these: they teach it little more.
			want := 0.99
			if strings.HasPrefix(run.Data.Train, "../data/tinystories/") {
				want = 1.005
			}
			if len(eval) != 4 || !(eval[3] < want*eval[0]) {
				t.Errorf("validation loss %v, want the last below %v of the first", eval, want)
			}
			for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} {
				if _, err := os.Stat(filepath.Join(res.Checkpoint, name)); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(filepath.Join(res.Checkpoint, "chat_template.jinja")); (err == nil) != (run.Data.Template != "") {
				t.Errorf("chat template %q beside the adapter: %v", run.Data.Template, err)
			}
		})
	}
}
