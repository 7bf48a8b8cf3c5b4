package world

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"ftlab/ftlib/corpus"
	"ftlab/internal/testkit"
)

// committed reads a data set as it lies in the repository.
func committed[T any](t *testing.T, name string) Split[T] {
	t.Helper()
	var s Split[T]
	for part, to := range map[string]*[]T{"train": &s.Train, "validation": &s.Validation} {
		rows, err := parquet.ReadFile[T](filepath.Join(testkit.Root(), "datasets", name, part+".parquet"))
		if err != nil {
			t.Fatalf("%v; make it with: go run ./internal/world/cmd/make datasets", err)
		}
		*to = rows
	}
	return s
}

// Rows are compared, not files: another version of the compressor may pack the
// same rows into other bytes.
func TestFilesAreWhatTheGeneratorMakes(t *testing.T) {
	same(t, "reviews", home.Reviews())
	same(t, "chat", home.Chat())
	same(t, "preferences", home.Preferences())
	same(t, "math", home.Math())
	same(t, "steps", home.Steps())
	same(t, "code", home.Code())

	dir := t.TempDir()
	if err := home.WriteDatasets(dir); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(testkit.Root(), "datasets", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("datasets/README.md is not what the generator writes; run: go run ./internal/world/cmd/make datasets")
	}
}

func same[T any](t *testing.T, name string, made Split[T]) {
	t.Helper()
	if there := committed[T](t, name); !reflect.DeepEqual(there, made) {
		t.Errorf("datasets/%s is not what the generator makes; run: go run ./internal/world/cmd/make datasets", name)
	}
	again, err := encode(made.Validation)
	if err != nil {
		t.Fatal(err)
	}
	once, err := encode(made.Validation)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, once) {
		t.Errorf("%s: the same rows give two different files", name)
	}
}

func TestSplits(t *testing.T) {
	separate(t, "reviews", committed[ReviewRow](t, "reviews"), func(r ReviewRow) string { return r.Review }, nil)
	separate(t, "chat", committed[ChatRow](t, "chat"), ChatRow.asked, ChatRow.matter)
	separate(t, "preferences", committed[PreferenceRow](t, "preferences"), func(r PreferenceRow) string { return r.Prompt }, PreferenceRow.matter)
	separate(t, "math", committed[MathRow](t, "math"), func(r MathRow) string { return r.Question }, nil)
	separate(t, "steps", committed[StepsRow](t, "steps"), func(r StepsRow) string { return r.Problem }, nil)
	separate(t, "code", committed[CodeRow](t, "code"), func(r CodeRow) string { return r.Problem }, nil)
}

// asked is the conversation up to the last answer: what ft data check compares.
func (r ChatRow) asked() string {
	var out []string
	for _, m := range r.Messages[:len(r.Messages)-1] {
		out = append(out, m.Content)
	}
	return strings.Join(out, "\n")
}

// separate checks the counts that the README states, that no row is there twice
// and that nothing of validation is in training or nearly so. matter is what decides
// that, where it is not what is asked.
func separate[T any](t *testing.T, name string, s Split[T], ask, matter func(T) string) {
	if matter == nil {
		matter = ask
	}
	readme, err := os.ReadFile(filepath.Join(testkit.Root(), "datasets", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("| [%s](%s) | %d | %d |", name, name, len(s.Train), len(s.Validation))
	if !strings.Contains(string(readme), line) {
		t.Errorf("datasets/README.md does not say %q", line)
	}
	train, seen, asked := newCatalogue(), map[string]bool{}, map[string]bool{}
	var finder corpus.Finder // what ft data check looks with: an estimate, made otherwise
	for i, r := range s.Train {
		if all := fmt.Sprintf("%#v", r); seen[all] {
			t.Errorf("%s: training row %d is there twice: %s", name, i+1, all)
		} else {
			seen[all] = true
		}
		asked[matter(r)] = true
		train.add(matter(r))
		finder.Add(ask(r))
	}
	warned := 0
	for i, r := range s.Validation {
		if all := fmt.Sprintf("%#v", r); seen[all] {
			t.Errorf("%s: validation row %d is there twice: %s", name, i+1, all)
		} else {
			seen[all] = true
		}
		if asked[matter(r)] {
			t.Errorf("%s: validation row %d is asked in training: %q", name, i+1, matter(r))
		}
		if a := train.nearest(matter(r)); a >= Alike {
			t.Errorf("%s: validation row %d is %.2f like a training row: %q", name, i+1, a, matter(r))
		}
		if m := finder.Find(ask(r)); m.Number >= 0 {
			warned++
		}
	}
	if warned > len(s.Validation)/100 {
		t.Errorf("%s: ft data check would warn of %d of %d validation rows", name, warned, len(s.Validation))
	}
}

// Keeping the parts apart must not make them different: a kind of question that
// is in one must be in the other, about as often.
func TestPartsAreOfOneKind(t *testing.T) {
	alike(t, "code", committed[CodeRow](t, "code"), 0.15, func(r CodeRow) string {
		_, task, _ := strings.Cut(r.Problem, " that ")
		return task
	})
	alike(t, "preferences", committed[PreferenceRow](t, "preferences"), 0.2, func(r PreferenceRow) string { return r.Prompt })
	alike(t, "chat", committed[ChatRow](t, "chat"), 0.2, func(r ChatRow) string { return fmt.Sprint(len(r.Messages)) + r.Messages[0].Content })
	alike(t, "math", committed[MathRow](t, "math"), 0.15, func(r MathRow) string {
		return regexp.MustCompile(strings.Join(things, "|")).ReplaceAllString(r.Question, "T")
	})
}

// alike compares how often questions begin in which way, names and numbers left out:
// by the total variation, which is 0 for equal and 1 for disjoint parts.
func alike[T any](t *testing.T, name string, s Split[T], most float64, text func(T) string) {
	t.Helper()
	kinds := map[string][2]float64{}
	count := func(rows []T, part int) {
		for _, r := range rows {
			words := strings.Fields(essential.ReplaceAllString(text(r), "N"))
			kind := strings.Join(words[:min(4, len(words))], " ")
			n := kinds[kind]
			n[part] += 1 / float64(len(rows))
			kinds[kind] = n
		}
	}
	count(s.Train, 0)
	count(s.Validation, 1)
	distance := 0.0
	for _, n := range kinds {
		distance += math.Abs(n[0]-n[1]) / 2
	}
	t.Logf("%s: %d kinds, total variation %.3f", name, len(kinds), distance)
	if distance > most {
		t.Errorf("%s: training and validation differ by %.2f, want at most %.2f: %v", name, distance, most, kinds)
	}
}

func TestNoProblemCrossesDataSets(t *testing.T) {
	training := map[string]bool{}
	math, steps := committed[MathRow](t, "math"), committed[StepsRow](t, "steps")
	for _, r := range math.Train {
		training[r.Question] = true
	}
	for _, r := range steps.Train {
		training[r.Problem] = true
	}
	for _, r := range math.Validation {
		if training[r.Question] {
			t.Errorf("math validation is in training: %q", r.Question)
		}
	}
	for _, r := range steps.Validation {
		if training[r.Problem] {
			t.Errorf("steps validation is in training: %q", r.Problem)
		}
	}
}

func TestReviewsAreBalancedAndTrue(t *testing.T) {
	s := committed[ReviewRow](t, "reviews")
	for part, rows := range map[string][]ReviewRow{"train": s.Train, "validation": s.Validation} {
		positive := 0
		for i, r := range rows {
			if r.Completion == " positive" {
				positive++
			} else if r.Completion != " negative" {
				t.Fatalf("%s row %d: completion %q", part, i+1, r.Completion)
			}
			if r.Prompt != SentimentQuestion+r.Review {
				t.Fatalf("%s row %d: the prompt does not ask about the review", part, i+1)
			}
			// The true sentiment is that of most of its adjectives and of its last sentence.
			score := 0
			for _, w := range regexp.MustCompile(`[a-z]+`).FindAllString(r.Review, -1) {
				for k := range praise {
					if w == praise[k] {
						score++
					} else if w == blame[k] {
						score--
					}
				}
			}
			for k := range loved {
				if strings.HasSuffix(r.Review, loved[k]) {
					score += 3
				} else if strings.HasSuffix(r.Review, hated[k]) {
					score -= 3
				}
			}
			if (score > 0) != (r.Completion == " positive") || score == 0 {
				t.Fatalf("%s row %d is called %s: %q", part, i+1, r.Completion, r.Review)
			}
		}
		if positive*2 != len(rows) {
			t.Errorf("%s: %d of %d reviews are positive", part, positive, len(rows))
		}
	}
}

func TestPreferencesDifferInToneOnly(t *testing.T) {
	s := committed[PreferenceRow](t, "preferences")
	starts := func(text string, with []string) string {
		for _, w := range with {
			if rest, ok := strings.CutPrefix(text, " "+w+" "); ok {
				return rest
			}
		}
		t.Fatalf("unknown opening: %q", text)
		return ""
	}
	ends := func(text string, with []string) string {
		for _, w := range with {
			if rest, ok := strings.CutSuffix(text, " "+w); ok {
				return rest
			}
		}
		t.Fatalf("unknown ending: %q", text)
		return ""
	}
	var chosen, rejected float64
	for _, r := range append(s.Train, s.Validation...) {
		good := ends(starts(r.Chosen, politeOpen), politeClose)
		bad := ends(starts(r.Rejected, curtOpen), curtClose)
		if good != bad {
			t.Fatalf("different facts: %q and %q", r.Chosen, r.Rejected)
		}
		chosen += float64(len(r.Chosen))
		rejected += float64(len(r.Rejected))
	}
	if d := math.Abs(chosen/rejected - 1); d > 0.05 {
		t.Errorf("chosen answers are %.2f times as long as rejected ones", chosen/rejected)
	}
}

func TestMathIsRight(t *testing.T) {
	s := committed[MathRow](t, "math")
	count, sign := map[int]int{}, map[byte]int{}
	for _, r := range append(s.Train, s.Validation...) {
		steps := read(t, r.Question)
		want := Solution{steps, steps[len(steps)-1].C}
		if r.Rationale != want.Rationale() || r.Answer != fmt.Sprint(want.Answer) {
			t.Fatalf("%q is solved as %q, answer %q", r.Question, r.Rationale, r.Answer)
		}
		count[len(steps)]++
		for _, o := range steps {
			sign[o.Sign]++
		}
	}
	if count[2] != 2*count[1] || count[1] != count[3] {
		t.Errorf("problems by number of steps: %v, want 1:2:1", count)
	}
	if q := float64(sign['+']) / float64(sign['-']); q < 0.85 || q > 1.2 {
		t.Errorf("steps by sign: + %d, - %d", sign['+'], sign['-'])
	}
}

func TestStepsAreMarkedRight(t *testing.T) {
	s := committed[StepsRow](t, "steps")
	right, all, solved := 0.0, 0.0, 0.0
	rows := append(s.Train, s.Validation...)
	for _, r := range rows {
		truth, good := read(t, r.Problem), true
		for i, m := range r.Steps {
			want := "Answer: " + fmt.Sprint(truth[len(truth)-1].C)
			if i < len(r.Steps)-1 {
				want = ""
				if i < len(truth) {
					want = truth[i].String()
				}
			}
			good = good && m.Step == want
			if (m.Reward == 1) != good || (m.Reward != 0 && m.Reward != 1) {
				t.Fatalf("step %q of %q has reward %v", m.Step, r.Problem, m.Reward)
			}
			right += m.Reward
			all++
		}
		last := r.Steps[len(r.Steps)-1]
		if last.Step != "Answer: "+r.FinalAnswer {
			t.Fatalf("final answer %q, last step %q", r.FinalAnswer, last.Step)
		}
		solved += last.Reward
	}
	if f := right / all; f < 0.45 || f > 0.6 {
		t.Errorf("%.3f of the steps are right, want about half", f)
	}
	if f := solved / float64(len(rows)); f < 0.35 || f > 0.5 {
		t.Errorf("%.3f of the solutions are right", f)
	}
}

func TestChatAnswersAreTrue(t *testing.T) {
	s := committed[ChatRow](t, "chat")
	facts := map[string]bool{}
	for _, e := range home.Facts() {
		facts[e.Answer] = true
	}
	systems, checked := 0, 0
	rows := append(s.Train, s.Validation...)
	for _, r := range rows {
		m := r.Messages
		if m[0].Role == "system" {
			systems++
			m = m[1:]
		}
		if len(m) == 0 || len(m)%2 != 0 {
			t.Fatalf("%d messages", len(m))
		}
		for i := range m {
			if want := [2]string{"user", "assistant"}[i%2]; m[i].Role != want {
				t.Fatalf("message %d is by %q, want %q", i, m[i].Role, want)
			}
		}
		for _, p := range home.People {
			for i := 1; i < len(m); i += 2 {
				for _, f := range regexp.MustCompile(p.Name+` (lives|likes|has|is) [^.]*\.`).FindAllString(m[i].Content, -1) {
					checked++
					if !facts[f] {
						t.Fatalf("not true in this world: %q", f)
					}
				}
			}
		}
	}
	if checked < len(rows)/2 {
		t.Errorf("only %d facts found in %d conversations", checked, len(rows))
	}
	if f := float64(systems) / float64(len(rows)); f < 0.4 || f > 0.6 {
		t.Errorf("%.2f of the conversations have a system message, want half", f)
	}
}

func TestNearest(t *testing.T) {
	c := newCatalogue()
	c.add("Can you help me? Which pet does Anna have?")
	if got := c.nearest("Can you help me? Which pet does Anna have?"); got != 1 {
		t.Errorf("the same text is %v like itself", got)
	}
	if got := c.nearest("Please help me! Which pet does Anna have?"); got < 0.3 || got > 0.6 {
		t.Errorf("another beginning: %v", got)
	}
	if got := c.nearest("Can you help me? Which pet does Ben have?"); got != 0 {
		t.Errorf("a question about somebody else: %v", got)
	}
}
