package tune

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
)

// questions have answers that a model of two layers can learn by heart.
func questions() []any {
	var rows []any
	for _, q := range []string{"aa", "ab", "ba", "bb"} {
		for _, tail := range []string{"c", "d", "e"} {
			rows = append(rows, map[string]string{"prompt": q + tail + "?", "completion": map[byte]string{'a': "yes", 'b': "no"}[q[0]]})
		}
	}
	return rows
}

func TestScoreAndMatchSeeTraining(t *testing.T) {
	spec := realSpec(t, func(r *ftlib.Run) {
		r.Data = ftlib.Data{Train: jsonl(t, questions()...), Split: -1}
		r.Batch = ftlib.Batch{Size: 12, MaxSteps: 100}
		r.Optim = ftlib.Optim{LearningRate: 0.01}
		r.Eval.Every, r.Save.Every, r.Save.Keep = -1, -1, 0
	})
	ctx := context.Background()
	before, _, err := Score(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	// Random weights guess: the loss is near that of 96 equal tokens.
	if math.Abs(before.Loss-math.Log(96)) > 0.2 || before.Rows != 12 || before.Tokens != 6*4+6*3 {
		t.Errorf("before training: %+v, a guess has %v", before, math.Log(96))
	}
	m, _, err := Match(ctx, spec, 6)
	if err != nil || m.Rows != 12 || m.Right != 0 {
		t.Errorf("before training: %d of %d right, %v", m.Right, m.Rows, err)
	}

	res, err := Run(ctx, spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	spec.Model.Path = res.Checkpoint // all weights: a model with its tokenizer
	after, warnings, err := Score(ctx, spec)
	if err != nil || after.Loss > 0.1 || len(warnings) != 0 {
		t.Errorf("after training: %+v, %v, %v", after, warnings, err)
	}
	m, _, err = Match(ctx, spec, 6)
	if err != nil || m.Right != 12 || m.Accuracy != 1 {
		t.Errorf("after training: %+v, %v", m, err)
	}
	if a := m.Answers[0]; a.Prompt != "aac?" || a.Text != "yes" || a.Answer != "yes" || a.Row != 1 {
		t.Errorf("first answer: %+v", a)
	}
}

func TestQuestionsKeepWholeAnswersAndLeaveOutLongPrompts(t *testing.T) {
	dir := letters(t)
	rows := []any{
		map[string]string{"prompt": "short?", "completion": strings.Repeat("a", 80)},
		map[string]string{"prompt": strings.Repeat("b", 80), "completion": "c"},
	}
	q, warnings, err := Questions(ftlib.Run{Model: ftlib.Model{Path: dir}, Data: ftlib.Data{Train: jsonl(t, rows...)}})
	if err != nil || len(q) != 1 || q[0].Answer != strings.Repeat("a", 80) || q[0].Prompt != "short?" || len(q[0].IDs) != 7 {
		t.Errorf("%+v, %v", q, err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "1 prompts are longer than the model's 64 positions") {
		t.Errorf("%v", warnings)
	}
	text := jsonl(t, map[string]string{"text": "just text"}, map[string]string{"text": "and more"})
	if _, _, err := Questions(ftlib.Run{Model: ftlib.Model{Path: dir}, Data: ftlib.Data{Train: text}}); err == nil || !strings.Contains(err.Error(), "asks nothing") {
		t.Errorf("%v", err)
	}
}

func TestLastTrained(t *testing.T) {
	for mask, want := range map[string][2]int{"0011": {2, 4}, "0110": {1, 3}, "011011": {4, 6}, "111": {0, 3}, "000": {0, 0}, "": {0, 0}} {
		ex := corpus.Example{Train: make([]bool, len(mask))}
		for i := range mask {
			ex.Train[i] = mask[i] == '1'
		}
		if from, to := lastTrained(ex); from != want[0] || to != want[1] {
			t.Errorf("%s: [%d, %d), want %v", mask, from, to, want)
		}
	}
}

func TestAdapterBringsItsTemplate(t *testing.T) {
	dir := t.TempDir()
	run := ftlib.Run{Model: ftlib.Model{Adapter: dir}}
	if got := withAdapterTemplate(run).Data.Template; got != "" {
		t.Errorf("%q", got)
	}
	path := filepath.Join(dir, "chat_template.jinja")
	os.WriteFile(path, []byte("x"), 0o644)
	if got := withAdapterTemplate(run).Data.Template; got != path {
		t.Errorf("%q, want %q", got, path)
	}
	run.Data.Template = "chatml"
	if got := withAdapterTemplate(run).Data.Template; got != "chatml" {
		t.Errorf("%q", got)
	}
}
