package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/tune"
	"ftlab/internal/testkit"
)

func main() {
	seeds := flag.Int("seeds", 3, "runs of each method; PPO has two more")
	out := flag.String("out", filepath.Join("docs", "results.md"), "the page; its table is written anew")
	keep := flag.String("runs", "", "where runs are kept; empty: nowhere")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *seeds, *out, *keep, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// lab is where the runs of one seed are.
type lab struct {
	ctx  context.Context
	seed int64
	dir  string // runs of this seed
	data string // rows that were prepared
}

// row is a line of the table.
type row struct {
	method  string // run file
	seed    int64
	what    string // is measured
	before  float64
	after   float64
	more    string
	seconds float64
}

var experiments = []struct {
	name string
	more int // seeds more than of the others
	run  func(*lab) ([]row, error)
}{
	{"qlora", 0, (*lab).qlora}, {"reward", 0, (*lab).rewardModel}, {"dpo", 0, of(preferenceOf, "dpo")}, {"kto", 0, of(preferenceOf, "kto")},
	{"orpo", 0, of(preferenceOf, "orpo")}, {"simpo", 0, of(preferenceOf, "simpo")}, {"ppo", 2, (*lab).ppo},
	{"grpo", 0, of(problemsOf, "grpo")}, {"rloo", 0, of(problemsOf, "rloo")}, {"prm", 0, (*lab).prm}, {"star", 0, (*lab).star},
}

// of is an experiment with one of several run files.
func of(f func(*lab, string) ([]row, error), name string) func(*lab) ([]row, error) {
	return func(l *lab) ([]row, error) { return f(l, name) }
}

func measure(ctx context.Context, seeds int, out, keep string, only []string) error {
	if keep == "" {
		dir, err := os.MkdirTemp("", "ftlab-results-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		keep = dir
	}
	if err := os.Chdir(testkit.Root()); err != nil {
		return err
	}
	found := map[string][]row{}
	for _, x := range experiments {
		if len(only) > 0 && !slices.Contains(only, x.name) {
			continue
		}
		for seed := range seeds + x.more {
			l := &lab{ctx: ctx, seed: int64(seed + 1), dir: filepath.Join(keep, fmt.Sprint("seed-", seed+1)), data: keep}
			rows, err := x.run(l)
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", x.name, l.seed, err)
			}
			for _, r := range rows {
				r.seed = l.seed
				found[x.name] = append(found[x.name], r)
				fmt.Fprintf(os.Stderr, "%s\n", r)
			}
		}
		if err := write(out, x.name, found[x.name]); err != nil {
			return err
		}
	}
	return nil
}

func (r row) String() string {
	return fmt.Sprintf("| %s | %d | %s | %.3f | %.3f | %s | %.0f |", r.method, r.seed, r.what, r.before, r.after, r.more, r.seconds)
}

const (
	heading = "| method | seed | measured on rows not trained on | before | after | besides | seconds |"
	mark    = "<!-- %s -->"
)

// write puts the lines of a method between its marks on the page.
func write(path, name string, rows []row) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := []string{heading, "|---|---|---|---:|---:|---|---:|"}
	for _, r := range rows {
		lines = append(lines, r.String())
	}
	begin, end := fmt.Sprintf(mark, name), fmt.Sprintf(mark, "/"+name)
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for %s: %s ... %s", path, name, begin, end)
	}
	text := before + begin + "\n" + strings.Join(lines, "\n") + "\n\n" + fmt.Sprintf("Machine: %d cores, %s.\n", runtime.GOMAXPROCS(0), runtime.GOARCH) + end + after
	return os.WriteFile(path, []byte(text), 0o644)
}

// spec reads a run file and moves its runs below this seed's directory.
func (l *lab) spec(name string) (ftlib.Run, error) {
	run, err := ftlib.ReadFile(filepath.Join("docs", "examples", "methods", name+".yaml"))
	if err != nil {
		return run, err
	}
	run.Seed, run.Out = l.seed, l.dir
	run.Model.Path = l.moved(run.Model.Path)
	if p := run.Method.PPO; p != nil {
		for i := range p.Rewards {
			p.Rewards[i].Path = l.moved(p.Rewards[i].Path)
		}
	}
	return run, nil
}

func (l *lab) moved(path string) string {
	if rest, ok := strings.CutPrefix(path, "runs/"); ok {
		return filepath.Join(l.dir, rest)
	}
	return path
}

// train runs a specification with its name, once.
func (l *lab) train(run ftlib.Run) (tune.Result, error) {
	res, err := tune.Run(l.ctx, run, tune.Options{Resume: true, Sink: &tune.Progress{W: os.Stderr}})
	if err != nil || res.Eval != nil {
		return res, err
	}
	events, err := ckpt.Events(res.Dir) // it was there, and finished
	for _, e := range events {
		if e.Type == ftlib.EventEval {
			res.Eval, res.Seconds = e.Metrics, e.Time.Sub(events[0].Time).Seconds()
		}
	}
	return res, err
}

// first trains the run file that another one begins with.
func (l *lab) first(name string) error {
	run, err := l.spec(name)
	if err != nil {
		return err
	}
	_, err = l.train(run)
	return err
}

// judged is what a function says of greedy answers of a model to prompts that are not trained
// on: by prompt.
type judged map[string]float64

func (j judged) mean() float64 {
	sum := 0.0
	for _, v := range j {
		sum += v
	}
	return sum / float64(len(j))
}

// answers validates a model by one step that changes nothing.
func (l *lab) answers(name string, model ftlib.Model, data ftlib.Data, tokens int, f reward.Func) (judged, error) {
	run := ftlib.Run{Name: name, Out: l.dir, Seed: l.seed, Model: model, Data: data}
	run.Method.GRPO = &ftlib.GRPO{Generations: 2, Rollout: ftlib.Rollout{MaxLength: tokens}}
	run.Batch.Size, run.Batch.MaxSteps, run.Optim.LearningRate = 2, 1, 1e-12
	run.Eval.Every, run.Eval.Rows, run.Save.Every = 1, 200, -1
	if model.Adapter == "" {
		run.LoRA = &ftlib.LoRA{R: 1}
	}
	var lock sync.Mutex
	seen := judged{}
	trained := map[string]bool{}
	_, err := tune.Run(l.ctx, run, tune.Options{Rewards: map[string]reward.Func{"rule": func(ctx context.Context, s reward.Sample) (float64, error) {
		v, err := f(ctx, s)
		lock.Lock()
		defer lock.Unlock()
		if len(trained) == 0 || trained[s.Prompt] { // the rollout comes before the validation, with one prompt
			trained[s.Prompt] = true
		} else {
			seen[s.Prompt] = v
		}
		return v, err
	}}})
	if err == nil {
		err = os.RemoveAll(filepath.Join(l.dir, name))
	}
	return seen, err
}

// problems writes those problems of datasets/math whose solutions are wanted.
func (l *lab) problems(name string, wanted func(solution string) bool) (string, error) {
	dir := filepath.Join(l.data, name)
	for _, part := range []string{"train.parquet", "validation.parquet"} {
		path := filepath.Join(dir, part)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		err := corpus.WriteRows(path, func(yield func(corpus.Row, error) bool) {
			for row, err := range corpus.Open(filepath.Join("datasets", "math", part), corpus.OpenOptions{}) {
				if err == nil && !wanted(fmt.Sprint(row.Values["rationale"])) {
					continue
				}
				if !yield(row, err) {
					return
				}
			}
		})
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}
