package tune

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// Units implements [Counted].
func (o *online) Units(b *corpus.Batch) float64 {
	if c, ok := o.method.(interface {
		units(o *online, b *corpus.Batch) float64
	}); ok {
		return c.units(o, b)
	}
	return float64(len(b.Rows))
}

// policyLoss is an onlineMethod that trains the policy alone, by one loss of log-probabilities.
type policyLoss interface {
	// loss is that of some answers, which stand in the rows of a batch.
	loss(o *online, r *Rollout, at []int, b *corpus.Batch, s llm.TokenStats) (loss.Result, error)
}

// ownSteps is an onlineMethod that does more in a step than that.
type ownSteps interface {
	accumulate(o *online, b *corpus.Batch, scale float32) (Sums, error)
}

var (
	_ policyLoss = (*grpoMethod)(nil)
	_ policyLoss = (*rlooMethod)(nil)
	_ ownSteps   = (*ppoMethod)(nil)
)

// Accumulate implements [Stepper].
func (o *online) Accumulate(b *corpus.Batch, scale float32) (Sums, error) {
	if m, ok := o.method.(ownSteps); ok {
		return m.accumulate(o, b, scale)
	}
	m := o.method.(policyLoss)
	p, r, err := o.policy(b, func(s llm.TokenStats) (loss.Result, error) {
		return m.loss(o, o.state.Rollout, b.Rows, b, s)
	})
	if err != nil {
		return Sums{}, err
	}
	defer p.Close()
	return o.sums(r), p.Pull(slopesOf(r, b, scale))
}

// policy runs a batch of answers forward for training and computes their loss.
func (o *online) policy(b *corpus.Batch, f func(llm.TokenStats) (loss.Result, error)) (*llm.Pass, loss.Result, error) {
	p, err := o.Engine.Forward(b, llm.ForwardOptions{Train: true, Key: o.key(), Temperature: o.roll.Temperature})
	if err != nil {
		return nil, loss.Result{}, err
	}
	s, err := p.Stats()
	if err == nil {
		var r loss.Result
		if r, err = f(s); err == nil {
			return p, r, nil
		}
	}
	p.Close()
	return nil, loss.Result{}, err
}

// slopesOf are the slopes of a loss as the engine takes them.
func slopesOf(r loss.Result, b *corpus.Batch, scale float32) llm.Slopes {
	s := llm.Slopes{LogP: spreadOut(r.Slope, b), Entropy: spreadOut(r.Entropy, b)}
	for _, list := range [][]float32{s.LogP, s.Entropy} {
		for i := range list {
			list[i] *= scale
		}
	}
	return s
}

// sums are a loss with the metrics of the batch and of its rollout.
func (o *online) sums(r loss.Result) Sums {
	s := Sums{Loss: r.Sum, Tokens: r.Units, Metrics: map[string]float64{}}
	for _, metrics := range []map[string]float64{o.state.Rollout.Metrics, r.Metrics} {
		for name, v := range metrics {
			s.Metrics[name] = v * r.Units
		}
	}
	return s
}

// Evaluate implements [Stepper]: greedy answers to the prompts of a batch; the loss is the
// reward with its sign turned. An interrupted run ends its validation first: the run that goes on
// from there must not lack it.
func (o *online) Evaluate(b *corpus.Batch) (Sums, error) {
	defer func(ctx context.Context) { o.context = ctx }(o.context)
	o.context = context.WithoutCancel(o.context)
	answers, err := o.write(b.Rows, 1, 0, true)
	if err != nil {
		return Sums{}, err
	}
	r := &Rollout{Samples: answers, Metrics: map[string]float64{}}
	if err := o.score(r); err != nil {
		return Sums{}, err
	}
	n := float64(len(b.Rows))
	s := Sums{Loss: -r.Metrics["reward"] * n, Tokens: n, Metrics: map[string]float64{}}
	for name, v := range r.Metrics {
		s.Metrics[name] = v * n
	}
	return s, nil
}

// Close implements io.Closer.
func (o *online) Close() error {
	for i := len(o.close) - 1; i >= 0; i-- {
		o.close[i]()
	}
	if o.gen != nil {
		o.gen.Close()
	}
	return o.trainer.Close()
}

// setContext lets a rollout end when the run is interrupted.
func (o *online) setContext(ctx context.Context) { o.context = ctx }

// warnings are what was noticed since it was last asked.
func (o *online) warnings() []string {
	w := o.warned
	o.warned = nil
	return w
}

// Knobs implements [Tunable].
func (o *online) Knobs() []ftlib.Knob {
	all := []ftlib.Knob{{Key: "temperature", Value: o.roll.Temperature, Min: 0.01, Max: 10, Log: true, Help: "of the sampling of answers, from the next rollout on"}}
	switch m := o.method.(type) {
	case *ppoMethod:
		if m.spec.KLTarget > 0 { // it steers itself
			break
		}
		all = append(all, ftlib.Knob{Key: "kl_coef", Value: o.state.KLCoef, Min: 0, Max: 10, Help: "coefficient of KL to the reference in the reward, from the next rollout on"})
	case interface{ knobs() []ftlib.Knob }:
		all = append(all, m.knobs()...)
	}
	return all
}

// Turn implements [Tunable].
func (o *online) Turn(key string, value float64) error {
	switch key {
	case "temperature":
		o.roll.Temperature = value
		return nil
	case "kl_coef":
		o.state.KLCoef = value
		return nil
	}
	return o.method.(interface {
		turn(key string, value float64) error
	}).turn(key, value)
}

// modelJudge is a reward model: an adapter with a score head on the policy's base, or a
// model of its own.
func (o *online) modelJudge(s ftlib.RewardFunc) (judge, error) {
	if s.Use == "prm" {
		return o.processJudge(s)
	}
	e, err := o.scorer(s.Path)
	if err != nil {
		return judge{}, fmt.Errorf("tune: the reward model %s: %w", s.Path, err)
	}
	if n := e.Labels(); n != 1 {
		return judge{}, fmt.Errorf("tune: %s has %d scores; a reward model has one (method: reward trains it)", s.Path, n)
	}
	return judge{model: func(ctx context.Context, answers []Answer) ([]float64, error) { return o.scores(ctx, e, answers) }}, nil
}

// scorer loads what a reward model consists of.
func (o *online) scorer(path string) (*llm.Engine, error) {
	e, err := o.loadScorer(path)
	if err == nil {
		o.scorers = append(o.scorers, e)
	}
	return e, err
}

func (o *online) loadScorer(path string) (*llm.Engine, error) {
	none := llm.EngineOptions{Train: func(string) bool { return false }}
	if _, err := os.Stat(filepath.Join(path, "adapter_config.json")); err == nil {
		policy := o.model.Adapter()
		defer o.model.SetAdapter(policy)
		o.model.SetAdapter(nil)
		a, err := o.model.LoadAdapter(path)
		if err != nil {
			return nil, err
		}
		o.close = append(o.close, a.Close)
		return llm.NewEngine(o.model, none)
	}
	m, err := llm.Load(o.model.Backend, path, llm.LoadOptions{})
	if err != nil {
		return nil, err
	}
	o.close = append(o.close, m.Close)
	return llm.NewEngine(m, none)
}

// scores are a reward model's of prompts with their answers, at the last token.
func (o *online) scores(ctx context.Context, e *llm.Engine, answers []Answer) ([]float64, error) {
	var examples []corpus.Example
	var at [][]int
	for _, a := range answers {
		ex := o.example(a)
		examples, at = append(examples, ex), append(at, []int{len(ex.IDs) - 1})
	}
	scores, err := o.scoresAt(ctx, e, examples, at)
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = s[0][0]
	}
	return out, err
}

// scoresAt are the outputs of a score head at tokens of sequences, [N][tokens][labels].
func (o *online) scoresAt(ctx context.Context, e *llm.Engine, examples []corpus.Example, at [][]int) ([][][]float64, error) {
	size, longest := o.run.Batch.Size, 0
	for _, ex := range examples {
		longest = max(longest, len(ex.IDs))
	}
	out := make([][][]float64, 0, len(examples))
	for from := 0; from < len(examples); from += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		to := min(from+size, len(examples))
		b := corpus.OneBatch(examples[from:to], size, roundUp(longest))
		p, err := e.Forward(b, llm.ForwardOptions{})
		if err != nil {
			return nil, err
		}
		var rows []int32
		for i := from; i < to; i++ {
			for _, t := range at[i] {
				rows = append(rows, int32((i-from)*b.T+t))
			}
		}
		var scores []float32
		if len(rows) > 0 {
			scores, err = p.Scores(rows)
		}
		p.Close()
		if err != nil {
			return nil, err
		}
		labels := e.Labels()
		for i := from; i < to; i++ {
			list := make([][]float64, len(at[i]))
			for k := range list {
				for range labels {
					list[k], scores = append(list[k], float64(scores[0])), scores[1:]
				}
			}
			out = append(out, list)
		}
	}
	return out, nil
}

// guard stops a run that has nothing left to learn from, or has lost what it had learnt.
type guard struct {
	Rewards []float64 `json:"rewards,omitempty"` // of all rollouts
	Equal   int       `json:"equal,omitempty"`   // rollouts in a row in which no group has different rewards
	Reason  string    `json:"reason,omitempty"`
	Steps   []int     `json:"steps,omitempty"` // optimizer steps that had been taken when each rollout was written
	Good    int       `json:"good,omitempty"`  // the last optimizer step before rewards fell; 0: they did not
}

const (
	guardEqual  = 20 // rollouts without a difference
	guardWindow = 8  // rollouts that a mean is taken over
)

// look takes a rollout that was written after some optimizer steps.
func (g *guard) look(r *Rollout, step int) {
	g.Steps = append(g.Steps, step)
	g.Rewards = append(g.Rewards, r.Metrics["reward"])
	if r.Metrics["frac_reward_zero_std"] == 1 {
		g.Equal++
	} else {
		g.Equal = 0
	}
	if g.Equal == guardEqual {
		g.Reason = fmt.Sprintf("in %d rollouts all answers to each prompt had the same reward (%.3g): there is no gradient. Give prompts that are sometimes answered right, a reward that tells answers apart, or a higher temperature", guardEqual, r.Metrics["reward"])
	}
	n := len(g.Rewards)
	if n < 3*guardWindow {
		return
	}
	mean := func(from int) float64 {
		sum := 0.0
		for _, v := range g.Rewards[from : from+guardWindow] {
			sum += v / guardWindow
		}
		return sum
	}
	first, now, best, at := mean(0), mean(n-guardWindow), math.Inf(-1), 0
	for i := range n - guardWindow {
		if m := mean(i); m >= best {
			best, at = m, i
		}
	}
	gain := best - first
	worse := gain > 0.1*math.Abs(first)+0.02 && now < first-gain/2 // than it began
	lost := gain > 0.5*math.Abs(first)+0.1 && now < first+gain/10  // of a gain that is no noise, nine tenths
	if worse || lost {
		if len(g.Steps) == n { // it is shorter in checkpoints of older versions
			g.Good = g.Steps[at+guardWindow-1]
		}
		g.Reason = fmt.Sprintf("collapse: the mean reward is %.3g; it began with %.3g and had been %.3g. Go on from an earlier checkpoint with a lower learning rate or a higher KL coefficient", now, first, best)
	}
}

// lastGood is the last optimizer step before a collapse; 0: there was none.
func (o *online) lastGood() int { return o.state.Guard.Good }

// stopped is why the run should end; "" when it should not.
func (o *online) stopped() string { return o.state.Guard.Reason }
