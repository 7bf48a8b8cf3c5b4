package sandbox_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ftlab/ftlib/sandbox"
	"ftlab/internal/testkit"
)

// Every solution of HumanEval passes its tests, and none passes the next one's.
func TestHumanEval(t *testing.T) {
	path := testkit.SharedData(t, "humaneval/HumanEval.jsonl.gz")
	needs(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	type problem struct {
		Prompt, Test string
		Solution     string `json:"canonical_solution"`
		Entry        string `json:"entry_point"`
	}
	var all []problem
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p problem
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) != 164 {
		t.Fatalf("%d problems", len(all))
	}
	patient := sandbox.Options{Limits: sandbox.Limits{Wall: 2 * time.Minute}} // the machine may be busy with other tests
	var group errgroup.Group
	group.SetLimit(2)
	for i, p := range all {
		group.Go(func() error {
			tests := sandbox.Tests{Check: p.Test + "\ncheck(" + p.Entry + ")\n"}
			v, err := sandbox.Judge(context.Background(), p.Prompt+p.Solution, tests, patient)
			if !v.Passed {
				t.Errorf("problem %d: %s: %s", i, v.Outcome, v.Reason)
			}
			next := all[(i+1)%len(all)]
			if w, _ := sandbox.Judge(context.Background(), next.Prompt+next.Solution, tests, sandbox.Options{}); w.Passed {
				t.Errorf("problem %d is solved by the next one's solution", i)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
