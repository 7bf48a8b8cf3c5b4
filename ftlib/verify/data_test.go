package verify_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/verify"
	"ftlab/internal/testkit"
)

func gsm8k(t testing.TB, name string) (answers []string) {
	f, err := os.Open(testkit.SharedData(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct{ Answer string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, row.Answer)
	}
	return answers
}

// Every gold answer of GSM8K is right by itself, whole and bare, and the next row's
// is right only where it is the same number.
func TestGSM8KGold(t *testing.T) {
	for _, file := range []string{"gsm8k/train.jsonl", "gsm8k/test.jsonl"} {
		all := gsm8k(t, file)
		wrong, mixed := 0, 0
		for i, a := range all {
			for _, kind := range []verify.Kind{verify.GSM8K, verify.Numeric, verify.Math} {
				r := verify.Check(kind, a, a)
				bare := verify.Check(kind, r.Extracted, a)
				if !r.Correct || !bare.Correct {
					wrong++
					t.Errorf("%s row %d, %s: %q is not right by itself", file, i+1, kind, r.Extracted)
				}
				other := all[(i+1)%len(all)]
				x, _ := verify.Extract(kind, a)
				y, _ := verify.Extract(kind, other)
				if verify.Check(kind, a, other).Correct != verify.Check(verify.GSM8K, x, y).Correct {
					mixed++
					t.Errorf("%s row %d, %s: %q and %q", file, i+1, kind, x, y)
				}
			}
		}
		t.Logf("%s: %d rows, %d wrong, %d mixed up", file, len(all), wrong, mixed)
	}
}

// Every gold answer of MATH is right by itself, whole and bare, and is what the data
// set names as the target; the next row's is right only where the two are equal.
func TestMATHGold(t *testing.T) {
	var solutions, targets []string
	for row, err := range corpus.Open(testkit.SharedData(t, "math/train_verl.parquet"), corpus.OpenOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(row.Values)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			RewardModel struct {
				GroundTruth struct{ Solution, Target string } `json:"ground_truth"`
			} `json:"reward_model"`
		}
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		truth := v.RewardModel.GroundTruth
		solutions, targets = append(solutions, truth.Solution), append(targets, truth.Target)
	}
	if len(solutions) != 7500 {
		t.Fatalf("%d rows", len(solutions))
	}
	// Some targets lost what tells rows of a matrix apart, or the whole answer.
	damaged := 0
	for i, s := range solutions {
		r := verify.Check(verify.Math, s, s)
		if !r.Correct {
			t.Errorf("row %d: %q is not right by itself", i+1, r.Extracted)
		}
		if !verify.Check(verify.Math, targets[i], s).Correct {
			damaged++
			t.Logf("row %d: %q, the target is %q", i+1, r.Extracted, targets[i])
		}
	}
	if damaged > 15 {
		t.Errorf("%d targets are not reached by their own solutions", damaged)
	}
}

// node is a step of a solution with those that were tried after it, and the share of
// completions from there that were published as right: of a whole solution 1 or 0.
type node struct {
	Text     string  `json:"text"`
	Right    float64 `json:"mc_value"`
	Children []node  `json:"children"`
}

func (n node) solutions(before string, yield func(text string, right bool)) {
	text := before + "\n" + n.Text
	if len(n.Children) == 0 {
		yield(text, n.Right == 1)
	}
	for _, next := range n.Children {
		next.solutions(text, yield)
	}
}

// Solutions of published models are right where they were published as right. The flags
// themselves are wrong of two: they box the very answer of the data set.
func TestPublishedFlags(t *testing.T) {
	f, err := os.Open(testkit.SharedData(t, "prm/samples_math-aps-tree.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, right, mistaken := 0, 0, 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Answer string `json:"final_answer"`
			Steps  node   `json:"reasoning_steps"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		for _, first := range row.Steps.Children { // the root is the problem
			first.solutions("", func(text string, flag bool) {
				n++
				r := verify.Check(verify.Math, row.Answer, text)
				if r.Correct {
					right++
				}
				switch {
				case r.Correct == flag:
				case strings.Contains(text, `\boxed{`+row.Answer+`}`):
					mistaken++
				default:
					t.Errorf("%q is %v, published as %v: answer %q of %q", r.Extracted, r.Correct, flag, row.Answer, text)
				}
			})
		}
	}
	if t.Logf("%d solutions, %d right, %d flags mistaken", n, right, mistaken); n < 200 || mistaken != 2 {
		t.Errorf("%d solutions, of which %d flags are mistaken", n, mistaken)
	}
}
