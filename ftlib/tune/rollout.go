package tune

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/token"
)

// online trains on answers that the model itself has just written: prompts, answers, rewards,
// advantages, batches. It is the loop's Stepper and its Source: when all batches of a
// rollout are dealt out, the next rollout is written with the weights as they are then.
//
// A rollout with everything that was computed of it is part of the position that a
// checkpoint keeps, so that a run that is resumed in its middle goes on exactly.
type online struct {
	trainer
	run     ftlib.Run
	roll    ftlib.Rollout
	method  onlineMethod
	gen     *llm.Generator
	tok     *token.Tokenizer
	ref     *llm.Engine // the policy before this run; nil: not needed
	judges  *judges
	close   []func()
	scorers []*llm.Engine   // of reward models
	told    map[string]bool // failures of rewards that were told
	warned  []string
	context context.Context

	prompts []corpus.Group // trained on, then those for validation
	train   int            // how many are trained on
	order   []int          // of this epoch
	state   onlineState
}

// onlineState is where the source stands.
type onlineState struct {
	Epoch   int      `json:"epoch"`
	Next    int      `json:"next"` // prompt of this epoch's order that the next rollout begins with
	Count   int      `json:"rollouts"`
	Batch   int      `json:"batch"`             // of the plan, that comes next
	Rollout *Rollout `json:"rollout,omitempty"` // that is being trained on
	KLCoef  float64  `json:"kl_coef,omitempty"`
	Guard   guard    `json:"guard"`
}

// Rollout is a set of answers with what became of them.
type Rollout struct {
	Samples []Answer           `json:"samples"`
	Plan    [][]int            `json:"plan"` // samples of each micro-batch, in order
	T       int                `json:"length"`
	Metrics map[string]float64 `json:"metrics"`

	Targets *loss.Targets `json:"targets,omitempty"` // of PPO
}

// Answer is one sampled answer.
type Answer struct {
	Prompt    int         `json:"prompt"` // index
	IDs       []int32     `json:"ids"`
	Text      string      `json:"text"`
	Ended     bool        `json:"ended"`
	LogP      []float64   `json:"logp,omitempty"` // under the policy that wrote it
	Ref       []float64   `json:"ref,omitempty"`
	Rewards   []float64   `json:"-"` // by judge
	Scores    []jsonFloat `json:"rewards"`
	Reward    float64     `json:"reward"`
	Advantage float64     `json:"advantage"`
	Steps     []Scored    `json:"steps,omitempty"`            // rewarded one by one
	Tokens    []float64   `json:"token_advantages,omitempty"` // under process supervision
	Left      bool        `json:"left_out,omitempty"`         // trains nothing
}

// onlineMethod is what becomes of a rollout: one file each.
type onlineMethod interface {
	// plan is how many prompts a rollout has, how many answers to each, and how often it is
	// trained on.
	plan(run ftlib.Run) (prompts, answers, passes int)
	// needs says whether answers need log-probabilities of the policy that wrote them and of the reference.
	needs(run ftlib.Run) (old, ref bool)
	// open prepares what it needs besides the policy.
	open(o *online) error
	// prepare computes advantages of a rollout whose answers are judged.
	prepare(o *online, r *Rollout) error
}

// onlineMethodOf is the method of a run that samples; nil for others.
func onlineMethodOf(run ftlib.Run) (onlineMethod, ftlib.Rollout) {
	m := run.Method
	switch {
	case m.GRPO != nil:
		return &grpoMethod{spec: *m.GRPO}, m.GRPO.Rollout
	case m.RLOO != nil:
		return &rlooMethod{spec: *m.RLOO}, m.RLOO.Rollout
	case m.PPO != nil:
		return &ppoMethod{spec: *m.PPO}, m.PPO.Rollout
	case m.STaR != nil:
		return &starMethod{spec: *m.STaR}, m.STaR.Rollout
	}
	return nil, ftlib.Rollout{}
}

// openOnline loads the policy of a run that samples.
func openOnline(run ftlib.Run, g *given, rewards map[string]reward.Func) (Stepper, string, error) {
	m, roll := onlineMethodOf(run)
	t, about, err := openTrainer(run, needs{tokens: true}, g)
	if err != nil {
		return nil, "", err
	}
	o := &online{trainer: t, run: run, roll: roll, method: m, told: map[string]bool{}, context: context.Background()}
	fail := func(err error) (Stepper, string, error) {
		o.Close()
		return nil, "", err
	}
	if o.tok, _, err = tokenizerOf(run); err != nil {
		return fail(err)
	}
	prompts, answers, passes := m.plan(run)
	if prompts < 1 || answers < 1 || passes < 1 {
		return fail(fmt.Errorf("tune: a rollout of %d prompts with %d answers each", prompts, answers))
	}
	if o.gen, err = llm.NewGenerator(o.model, llm.GeneratorOptions{Tokenizer: o.tok, MaxRows: rowsAtOnce(o.model, min(64, prompts*answers), run)}); err != nil {
		return fail(err)
	}
	if o.judges, err = newJudges(roll.Rewards, rewards, o.modelJudge, o.warn); err != nil {
		return fail(err)
	}
	if _, ref := m.needs(run); ref {
		if err := o.openReference(referenceOf(run)); err != nil {
			return fail(err)
		}
	}
	if err := m.open(o); err != nil {
		return fail(err)
	}
	return o, about, nil
}

func referenceOf(run ftlib.Run) string {
	switch m := run.Method; {
	case m.GRPO != nil:
		return m.GRPO.Reference
	case m.RLOO != nil:
		return m.RLOO.Reference
	case m.PPO != nil:
		return m.PPO.Reference
	}
	return ""
}

// openReference makes the engine of the policy as it was before the run.
func (o *online) openReference(adapter string) error {
	r, err := newReference(&o.trainer, adapter, o.run.Model.Adapter, false)
	if err != nil {
		return err
	}
	if !r.frozen {
		o.ref = r.engine
		o.close = append(o.close, r.close)
		return nil
	}
	// All weights train: the reference is a model of its own.
	m, err := llm.Load(o.model.Backend, o.run.Model.Path, llm.LoadOptions{})
	if err != nil {
		return err
	}
	o.close = append(o.close, m.Close)
	o.ref, err = llm.NewEngine(m, llm.EngineOptions{Train: func(string) bool { return false }})
	return err
}

// warn tells each kind of failure of a reward once.
func (o *online) warn(name string, err error) {
	key := name + ": " + err.Error()
	if len(o.warned) < 20 && !o.told[key] {
		o.told[key] = true
		o.warned = append(o.warned, "a reward gave nothing for an answer: "+key)
	}
}

// bind gives the stepper the prompts and makes it the source of the loop.
func (o *online) bind(d *Data) error {
	o.prompts, o.train = d.Groups, d.trained
	if o.train == 0 {
		return fmt.Errorf("tune: there are no prompts to answer")
	}
	o.reorder()
	d.Train = o
	return nil
}

func (o *online) reorder() {
	o.order = make([]int, o.train)
	for i := range o.order {
		o.order[i] = i
	}
	if !o.run.Batch.NoShuffle {
		rng := rand.New(rand.NewPCG(uint64(o.run.Seed), uint64(o.state.Epoch)))
		rng.Shuffle(len(o.order), func(i, j int) { o.order[i], o.order[j] = o.order[j], o.order[i] })
	}
}

// PerEpoch implements [Source].
func (o *online) PerEpoch() int {
	prompts, answers, passes := o.method.plan(o.run)
	rollouts := (o.train + prompts - 1) / prompts
	size, group := o.run.Batch.Size, o.run.Batch.Accumulate
	batches := passes * ((prompts*answers + size - 1) / size)
	return rollouts * ((batches + group - 1) / group) * group // an optimizer step never reaches over the end of a rollout
}

// Next implements [Source].
func (o *online) Next() (*corpus.Batch, bool, error) {
	s := &o.state
	if s.Rollout == nil || s.Batch == len(s.Rollout.Plan) {
		before := *s
		r, err := o.rollout()
		if err != nil {
			*s = before
			o.reorder()
			return nil, false, err
		}
		s.Rollout, s.Batch = r, 0
	}
	at := s.Rollout.Plan[s.Batch]
	s.Batch++
	return o.batch(s.Rollout, at), s.Batch == len(s.Rollout.Plan), nil
}

// batch lays answers out behind their prompts; only the answers are targets.
func (o *online) batch(r *Rollout, at []int) *corpus.Batch {
	var examples []corpus.Example
	for _, i := range at {
		examples = append(examples, o.example(r.Samples[i]))
	}
	b := corpus.OneBatch(examples, o.run.Batch.Size, r.T)
	b.Rows = at
	return b
}

func (o *online) example(a Answer) corpus.Example {
	prompt := o.prompts[a.Prompt].Seqs[0].IDs
	ex := corpus.Example{IDs: append(prompt[:len(prompt):len(prompt)], a.IDs...)}
	ex.Train = make([]bool, len(ex.IDs))
	for t := len(prompt); t < len(ex.IDs); t++ {
		ex.Train[t] = true
	}
	return ex
}

// rollout writes answers to the next prompts and has them judged.
func (o *online) rollout() (*Rollout, error) {
	s := &o.state
	prompts, answers, passes := o.method.plan(o.run)
	r := &Rollout{Metrics: map[string]float64{}}
	var asked []int
	for len(asked) < prompts {
		if s.Next == len(o.order) {
			s.Epoch, s.Next = s.Epoch+1, 0
			o.reorder()
		}
		asked = append(asked, o.order[s.Next])
		s.Next++
	}
	s.Count++
	var err error
	if r.Samples, err = o.write(asked, answers, uint64(s.Count), false); err != nil {
		return nil, err
	}
	if err := o.score(r); err != nil {
		return nil, err
	}
	longest := 0
	for _, a := range r.Samples {
		longest = max(longest, len(o.prompts[a.Prompt].Seqs[0].IDs)+len(a.IDs))
	}
	r.T = roundUp(longest)
	rng := rand.New(rand.NewPCG(uint64(o.run.Seed), uint64(s.Count)<<20))
	for range passes {
		order := rng.Perm(len(r.Samples))
		for from := 0; from < len(order); from += o.run.Batch.Size {
			r.Plan = append(r.Plan, order[from:min(from+o.run.Batch.Size, len(order))])
		}
	}
	old, ref := o.method.needs(o.run)
	if !old {
		for i := range r.Samples {
			r.Samples[i].LogP = nil
		}
	} else if o.filtered() { // what it was drawn from is not the policy itself
		err = o.logps(o.Engine, r, func(a *Answer, v []float64) { a.LogP = v })
	}
	if ref && err == nil {
		err = o.logps(o.ref, r, func(a *Answer, v []float64) { a.Ref = v })
	}
	if err == nil {
		err = o.method.prepare(o, r)
	}
	if err != nil {
		return nil, err
	}
	o.state.Guard.look(r, int(o.trainer.step))
	return r, o.keep(r)
}

// roundUp brings lengths to few shapes.
func roundUp(n int) int {
	step := 16
	for step*8 < n {
		step *= 2
	}
	return (n + step - 1) / step * step
}

// filtered says whether answers are drawn from less than the whole distribution.
func (o *online) filtered() bool {
	return o.roll.TopK > 0 || o.roll.TopP > 0 && o.roll.TopP < 1 || o.roll.MinP > 0
}

// write has the policy answer prompts. Equal seeds give equal answers.
func (o *online) write(asked []int, answers int, seed uint64, greedy bool) ([]Answer, error) {
	var prompts [][]int32
	var out []Answer
	var seeds []uint64
	for _, p := range asked {
		for range answers {
			h := fnv.New64a()
			fmt.Fprint(h, o.run.Seed, seed, len(out))
			prompts, out, seeds = append(prompts, o.prompts[p].Seqs[0].IDs), append(out, Answer{Prompt: p}), append(seeds, h.Sum64())
		}
	}
	sampling := llm.Sampling{MaxNew: o.roll.MaxLength, StopStrings: o.roll.Stop}
	if !greedy {
		sampling.Temperature, sampling.TopP, sampling.TopK, sampling.MinP = o.roll.Temperature, o.roll.TopP, o.roll.TopK, o.roll.MinP
		sampling.Seeds = seeds
	}
	outputs, err := o.gen.Generate(o.context, prompts, sampling)
	if err != nil {
		return nil, err
	}
	for i, x := range outputs {
		a := &out[i]
		a.IDs, a.Text, a.Ended = x.IDs, x.Text, x.Finish == llm.FinishStop || x.Finish == llm.FinishString
		if len(a.IDs) == 0 {
			return nil, fmt.Errorf("tune: the prompt of %s row %d leaves no room for an answer", o.prompts[a.Prompt].File, o.prompts[a.Prompt].Num)
		}
		for _, v := range x.Drawn {
			a.LogP = append(a.LogP, float64(v))
		}
	}
	return out, nil
}

// samples are answers as functions see them.
func (o *online) samples(answers []Answer) []reward.Sample {
	out := make([]reward.Sample, len(answers))
	for i, a := range answers {
		r := o.prompts[a.Prompt].Record
		out[i] = reward.Sample{Prompt: r.Text, Completion: a.Text, IDs: a.IDs, Answer: r.Answer, Columns: columnsOf(r)}
	}
	return out
}

// columnsOf is what a row says besides the problem.
func columnsOf(r *corpus.Record) map[string]string {
	columns := map[string]string{"problem": r.Problem, "rationale": r.Rationale, "code": r.Code, "completion": r.Completion.Plain()}
	switch tests := r.Tests.(type) {
	case nil:
	case string:
		columns["tests"] = tests
	case []any:
		var lines []string
		for _, t := range tests {
			lines = append(lines, fmt.Sprint(t))
		}
		columns["tests"] = strings.Join(lines, "\n")
	default:
		columns["tests"] = fmt.Sprint(tests)
	}
	for name, v := range columns {
		if v == "" {
			delete(columns, name)
		}
	}
	return columns
}

// judged are the rewards of answers, [N][judges], NaN where a judge has nothing to say.
func (o *online) judged(answers []Answer) ([][]float64, error) {
	return o.judges.of(o.context, answers, o.samples(answers))
}

func (o *online) weights() []float64 { return o.judges.weights() }

// score judges a rollout and notes what the field logs of it.
func (o *online) score(r *Rollout) error {
	rewards, err := o.judged(r.Samples)
	if err != nil {
		return err
	}
	sums, err := loss.Weighted(rewards, o.weights())
	if err != nil {
		return err
	}
	n := float64(len(r.Samples))
	for i := range r.Samples {
		a := &r.Samples[i]
		a.Rewards, a.Reward = rewards[i], sums[i]
		for _, v := range rewards[i] {
			a.Scores = append(a.Scores, jsonFloat(v))
		}
		if math.IsNaN(a.Reward) {
			a.Reward = 0
		}
		r.Metrics["completions/mean_length"] += float64(len(a.IDs)) / n
		r.Metrics["completions/max_length"] = max(r.Metrics["completions/max_length"], float64(len(a.IDs)))
		if !a.Ended {
			r.Metrics["completions/clipped_ratio"] += 1 / n
		}
		r.Metrics["reward"] += a.Reward / n
	}
	for k, j := range o.judges.all {
		sum, count := 0.0, 0.0
		for i := range rewards {
			if v := rewards[i][k]; !math.IsNaN(v) {
				sum, count = sum+v, count+1
			}
		}
		if j.steps {
			for _, a := range r.Samples {
				for _, s := range a.Steps {
					sum, count = sum+s.Right, count+1
				}
			}
		}
		if count > 0 {
			r.Metrics["rewards/"+j.name+"/mean"] = sum / count
		}
	}
	return nil
}

// Cursor implements [Source].
func (o *online) Cursor() (json.RawMessage, error) { return json.Marshal(o.state) }

// Seek implements [Source].
func (o *online) Seek(at json.RawMessage) error {
	var s onlineState
	if err := json.Unmarshal(at, &s); err != nil {
		return fmt.Errorf("tune: the position of the checkpoint: %w", err)
	}
	if s.Next < 0 || s.Next > o.train {
		return fmt.Errorf("tune: the checkpoint stands at prompt %d of %d: it is of other data", s.Next, o.train)
	}
	o.state = s
	o.reorder()
	return o.forget()
}

// jsonFloat is a number that JSON may hold: NaN is null.
type jsonFloat float64

func (f jsonFloat) MarshalJSON() ([]byte, error) {
	if v := float64(f); finite(v) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}

func (f *jsonFloat) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*f = jsonFloat(math.NaN())
		return nil
	}
	return json.Unmarshal(data, (*float64)(f))
}
