package tune

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/reward"
)

// solving is a run that asks the teaching model problems of the teaching data.
func solving(t *testing.T, problems int) ftlib.Run {
	t.Helper()
	if _, err := backend.Open(""); err != nil {
		t.Skipf("SKIPPED: no backend: %v", err)
	}
	return ftlib.Run{Seed: 1, Model: ftlib.Model{Path: "../../models/ft-tiny"}, Data: ftlib.Data{Train: "../../datasets/math/validation.parquet", Limit: problems,
		Prompt: "Problem: {prompt}\nSolution:", Answer: " {rationale} Answer: {answer}"}}
}

// Steps of solutions that come out right are completed rightly more often than those of
// solutions that do not; the file that is written is one of steps.
func TestLabelStepsByCompletion(t *testing.T) {
	o := StepLabels{Samples: 4, Solutions: 3, Separator: ". ", Rollout: ftlib.Rollout{MaxLength: 40}}
	l, err := LabelSteps(context.Background(), solving(t, 12), o)
	if err != nil {
		t.Fatal(err)
	}
	mean := map[bool]float64{}
	n := map[bool]float64{}
	for _, s := range l.Solutions {
		last := *s.Steps[len(s.Steps)-1].Label
		if (last == 1) != s.Right || last != 0 && last != 1 {
			t.Errorf("a solution is right: %v, and its last step has the label %v", s.Right, last)
		}
		for _, step := range s.Steps[:len(s.Steps)-1] {
			mean[s.Right], n[s.Right] = mean[s.Right]+*step.Label, n[s.Right]+1
			if v := 4 * *step.Label; math.Abs(v-math.Round(v)) > 1e-9 {
				t.Errorf("%v is no share of four", *step.Label)
			}
		}
	}
	if n[true] < 3 || n[false] < 3 || mean[true]/n[true] < 0.3+mean[false]/n[false] {
		t.Errorf("steps of right solutions: %v of %v, of wrong ones: %v of %v", mean[true], n[true], mean[false], n[false])
	}
	path := filepath.Join(t.TempDir(), "steps.parquet")
	if err := l.Write(path); err != nil {
		t.Fatal(err)
	}
	m, records, err := corpus.Read(path, corpus.OpenOptions{}, corpus.Want{})
	if err != nil || m.Kind != corpus.KindSteps {
		t.Fatalf("%+v, %v", m, err)
	}
	i := 0
	for r, err := range records {
		if err != nil || len(r.Steps) != len(l.Solutions[i].Steps) || r.Answer != l.Solutions[i].Answer {
			t.Fatalf("row %d: %+v, %v", i, r, err)
		}
		for k, step := range r.Steps {
			if step.Reward != *l.Solutions[i].Steps[k].Label || step.Text != l.Solutions[i].Steps[k].Text {
				t.Errorf("row %d step %d: %+v", i, k, step)
			}
		}
		i++
	}
	if i != len(l.Solutions) {
		t.Errorf("%d rows of %d solutions", i, len(l.Solutions))
	}
}

// Labels count what a judge in Go says of whole solutions; hard ones say whether any was
// right; the same seed gives the same.
func TestLabelsOfGivenSolutions(t *testing.T) {
	run := solving(t, 6)
	o := StepLabels{Samples: 4, Separator: ". ", Rollout: ftlib.Rollout{MaxLength: 12, Rewards: []ftlib.RewardFunc{{Use: "even"}}}}
	o.Rewards = map[string]reward.Func{"even": func(_ context.Context, s reward.Sample) (float64, error) {
		if !strings.HasPrefix(s.Completion, " ") {
			t.Errorf("a completion without the beginning of its solution: %q", s.Completion)
		}
		if strings.Count(s.Completion, "1")%2 == 0 {
			return 1, nil
		}
		return 0, nil
	}}
	labels := func(hard bool) (all []float64) {
		o.Hard = hard
		l, err := LabelSteps(context.Background(), run, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range l.Solutions {
			for _, step := range s.Steps {
				all = append(all, *step.Label)
			}
		}
		return all
	}
	soft, again, hard := labels(false), labels(false), labels(true)
	if !slices.Equal(soft, again) {
		t.Errorf("%v, then %v", soft, again)
	}
	between := false
	for i := range soft {
		if (soft[i] > 0) != (hard[i] == 1) || hard[i] != 0 && hard[i] != 1 {
			t.Errorf("soft %v, hard %v", soft[i], hard[i])
		}
		between = between || soft[i] > 0 && soft[i] < 1
	}
	if !between {
		t.Errorf("no label between 0 and 1: %v", soft)
	}
}

func TestJoinedSteps(t *testing.T) {
	for _, c := range []struct {
		separator, want string
		ends            []int
	}{{". ", "1 + 1 = 2. Answer: 2", []int{11, 20}}, {"\n", "1 + 1 = 2.\nAnswer: 2", []int{11, 20}}} {
		text, parts, ends := joined([]corpus.Step{{Text: "1 + 1 = 2."}, {Text: " Answer: 2"}}, c.separator)
		if text != c.want || !slices.Equal(ends, c.ends) || len(parts) != 2 {
			t.Errorf("%q, %v", text, ends)
		}
	}
}

// All ways choose from the same solutions: with one to choose from they are equal, and none
// is above the oracle.
func TestBestOfN(t *testing.T) {
	r, err := BestOfN(context.Background(), solving(t, 10), BestOf{N: []int{1, 2, 4}, Rollout: ftlib.Rollout{MaxLength: 40}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Problems != 10 || r.Samples != 40 || len(r.Ways) != 3 || len(r.Answers) != 10 {
		t.Fatalf("%+v", r)
	}
	right := 0.0
	for _, list := range r.Answers {
		for _, s := range list {
			if s.Right {
				right++
			}
		}
	}
	by := map[string][]float64{}
	for _, w := range r.Ways {
		by[w.By] = w.Accuracy
	}
	if math.Abs(by["mean"][0]-right/40) > 1e-12 || math.Abs(by["oracle"][0]-by["mean"][0]) > 1e-12 || math.Abs(by["majority"][0]-by["mean"][0]) > 1e-12 {
		t.Errorf("one of one: %v, %v right", by, right)
	}
	if o := by["oracle"]; !(o[0] < o[1] && o[1] < o[2]) || by["majority"][2] > o[2] {
		t.Errorf("%v", by)
	}
	for _, bad := range []BestOf{{N: []int{0}}, {Joins: []string{"most"}}} {
		if _, err := BestOfN(context.Background(), solving(t, 1), bad); err == nil {
			t.Errorf("%+v is not refused", bad)
		}
	}
}
