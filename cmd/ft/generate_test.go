package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

func TestGoldenScore(t *testing.T) {
	dir := testkit.Golden(t, "models/llama")
	var want struct {
		Loss float64 `json:"loss"`
	}
	testkit.GoldenJSON(t, "models/llama_io.json", &want)
	batch := goldenBatch(t, testkit.Golden(t, "models/llama_io.safetensors"))
	in, logits := filepath.Join(t.TempDir(), "batch.json"), filepath.Join(t.TempDir(), "logits.safetensors")
	data, _ := json.Marshal(batch)
	if err := os.WriteFile(in, data, 0o644); err != nil {
		t.Fatal(err)
	}
	var plain, withLogits scored
	for args, out := range map[string]*scored{"": &plain, logits: &withLogits} {
		code, stdout, stderr := ft(t, "score", "--model", dir, "--backend", "go", "--in", in, "--logits", args)
		if code != exitOK {
			t.Fatal(stderr)
		}
		if err := json.Unmarshal([]byte(stdout), out); err != nil {
			t.Fatal(err)
		}
		if out.Loss == nil || math.Abs(*out.Loss-want.Loss) > 1e-5 {
			t.Errorf("loss %v, want %v", *out.Loss, want.Loss)
		}
	}
	sum := 0.0
	for i, row := range plain.LogProbs {
		for j, lp := range row {
			if (lp != nil) != (j > 0 && batch.Labels[i][j] != -100) {
				t.Errorf("row %d, position %d: log-probability %v with label %d", i, j, lp, batch.Labels[i][j])
			}
			if lp != nil {
				sum += *lp
				if d := math.Abs(*lp - *withLogits.LogProbs[i][j]); d > 1e-4 {
					t.Errorf("row %d, position %d: with and without logits differ by %g", i, j, d)
				}
			}
		}
	}
	if d := math.Abs(sum/float64(plain.Tokens) + want.Loss); d > 1e-5 {
		t.Errorf("the mean of logprobs differs from the loss by %g", d)
	}
	f, err := safetensors.Open(logits)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := f.Tensor("logits")
	if err != nil || len(x.Shape) != 3 || x.Shape[0] != len(batch.IDs) || x.Shape[1] != len(batch.IDs[0]) {
		t.Errorf("logits %v, %v", x.Shape, err)
	}
}

// goldenBatch reads input_ids, attention_mask and labels, int64 in the file.
func goldenBatch(t *testing.T, path string) scoreBatch {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b scoreBatch
	for name, to := range map[string]*[][]int32{"input_ids": &b.IDs, "attention_mask": &b.Mask, "labels": &b.Labels} {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range x.Shape[0] {
			row := make([]int32, x.Shape[1])
			for j := range row {
				row[j] = int32(x.Data[8*(i*x.Shape[1]+j)]) // labels and ids of the small vocabularies fit a byte
				if x.Data[8*(i*x.Shape[1]+j)+7] == 0xff {
					row[j] = -100
				} else {
					row[j] |= int32(x.Data[8*(i*x.Shape[1]+j)+1]) << 8
				}
			}
			*to = append(*to, row)
		}
	}
	return b
}

func TestScoreRefuses(t *testing.T) {
	dir := testkit.Golden(t, "models/llama")
	for content, want := range map[string]string{
		`{"input_ids":[[1,2],[3]]}`:                        "input_ids row 1 has 1 values",
		`{"input_ids":[[1,2]],"labels":[[1,2],[3,4]]}`:     "labels has 2 rows",
		`{"input_ids":[[1,2]],"labels":[[-100,99999]]}`:    "labels row 0, position 1",
		`{"input_ids":[]}`:                                 "input_ids is empty",
		`{"input_ids":[[1,2]],"attention_mask":[[1,1,1]]}`: "attention_mask row 0 has 3 values",
		`[1]`: "cannot unmarshal",
	} {
		in := filepath.Join(t.TempDir(), "batch.json")
		if err := os.WriteFile(in, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := ft(t, "score", "--model", dir, "--backend", "go", "--in", in); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", content, code, stderr)
		}
	}
}

func TestGenerateCommand(t *testing.T) {
	dir := testkit.SharedData(t, "stories260K")
	code, text, stderr := ft(t, "generate", "--model", dir, "--backend", "go", "--prompt", "Once upon a time", "--max-new", "30")
	if code != exitOK || !strings.HasPrefix(text, ", there was") {
		t.Fatalf("exit code %d, %q, %s", code, text, stderr)
	}
	in, out := filepath.Join(t.TempDir(), "in.jsonl"), filepath.Join(t.TempDir(), "out.jsonl")
	if err := os.WriteFile(in, []byte("\"Once upon a time\"\n{\"prompt\":\"One day, a cat\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := ft(t, "generate", "--model", dir, "--backend", "go", "--in", in, "--out", out, "--max-new", "30"); code != exitOK {
		t.Fatal(stderr)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	var first generated
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if first.Text != strings.TrimSuffix(text, "\n") || first.Prompt != "Once upon a time" || len(first.IDs) != 30 || first.Finish != "length" || first.LogProb >= 0 {
		t.Errorf("%+v, alone %q", first, text)
	}
}

func TestGenerateUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"generate --model .", "give --prompt"},
		{"generate --model . --prompt x --in y", "give --prompt"},
		{"generate --model . --prompt x --system y", "--system goes with --chat"},
		{"generate --model nowhere --prompt x", "no such file"},
		{"chat --model . --compare", "--compare needs --adapter"},
		{"score --model .", `required flag(s) "in" not set`},
	} {
		if code, _, stderr := ft(t, strings.Fields(c.args)...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("ft %s: exit code %d, %s", c.args, code, stderr)
		}
	}
}
