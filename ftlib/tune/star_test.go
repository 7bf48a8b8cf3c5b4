package tune

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// Every round of STaR ends with a validation, wherever the plan has its own.
func TestRoundsEndWithValidation(t *testing.T) {
	spec := methodSpec(t, tinyModel(t), jsonl(t, problemRows(40)...), func(r *ftlib.Run) {
		r.Method.STaR = &ftlib.STaR{Rounds: 3, StartSteps: 2, Schedule: "steady", AddSteps: 1, Problems: 20, Rollout: ftlib.Rollout{MaxLength: 6}}
		r.LoRA, r.Batch.MaxSteps, r.Eval.Every = &ftlib.LoRA{R: 2}, 0, 1000
	})
	res, err := Run(context.Background(), spec, Options{Rewards: map[string]reward.Func{"often": often}})
	if err != nil {
		t.Fatal(err)
	}
	events, err := ckpt.Events(res.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, e := range events {
		if e.Type == ftlib.EventEval {
			at = append(at, e.Step)
		}
	}
	if want := []int{2, 2 + 3, 2 + 3 + 4}; !reflect.DeepEqual(at, want) {
		t.Errorf("validated after steps %v, the rounds end at %v", at, want)
	}
}

// The token that ends a step is the first with which the text is as long as the step ends.
func TestStepTokens(t *testing.T) {
	tok, err := token.Load(filepath.Join(testkit.Root(), "models", "ft-tiny"))
	if err != nil {
		t.Fatal(err)
	}
	o := &online{tok: tok}
	text := " 17 + 6 = 23. Größer: 23 - 11 = 12.\nAnswer: 12"
	ids := append(tok.Encode(text, false), tok.Special().EOS)
	_, ends := steps(text, ". ")
	ends = append(ends, len(text)+1) // no text is as long: its last token
	got := o.stepTokens(Answer{IDs: ids}, ends)
	var want []int
	for _, end := range ends {
		at := 0
		for at < len(ids)-1 && len(tok.Decode(ids[:at+1], true)) < end {
			at++
		}
		want = append(want, at)
	}
	if len(got) < 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("steps end at tokens %v, not %v", got, want)
	}
}
