package plan

import (
	"fmt"
	"strings"

	"ftlab/ftlib"
)

// Answers are what a person says to the questions of the decision tree. What is empty is
// not decided yet.
type Answers struct {
	Goal     string `json:"goal,omitempty"`     // "knowledge", "preferences", "reasoning", "clients"
	Feedback string `json:"feedback,omitempty"` // preferences: "team", "pairs", "votes"
	Check    string `json:"check,omitempty"`    // reasoning: "answers", "steps", "code"
	Best     string `json:"best,omitempty"`     // clients: "quality", "memory"

	Model  string `json:"model,omitempty"`  // directory, name or size; zero: 7b
	Device string `json:"device,omitempty"` // zero: the smallest card of the table
	Data   string `json:"data,omitempty"`   // zero: the teaching data for the method
	Length int    `json:"length,omitempty"` // tokens of the longest row; zero: 1024
}

// Option is an answer that can be given.
type Option struct {
	Value string `json:"value"`
	Text  string `json:"text"`
}

// Question is a fork of the decision tree.
type Question struct {
	Key     string   `json:"key"` // of Answers
	Text    string   `json:"text"`
	Options []Option `json:"options"`
}

// Questions are those that lead to a method from what was answered: the first is always
// the goal, the second depends on it.
func Questions(a Answers) []Question {
	all := []Question{{"goal", "What is the goal?", []Option{
		{"knowledge", "teach a task or specific knowledge"}, {"preferences", "be safer or more helpful"},
		{"reasoning", "reason better"}, {"clients", "serve several uses or clients"}}}}
	switch a.Goal {
	case "preferences":
		all = append(all, Question{"feedback", "What feedback is there?", []Option{
			{"pairs", "pairs of a better and a worse answer"}, {"votes", "single answers, good or bad"}, {"team", "people who judge new answers all the time"}}})
	case "reasoning":
		all = append(all, Question{"check", "What can be checked?", []Option{
			{"answers", "final answers, as in mathematics"}, {"code", "code, by running tests"}, {"steps", "the steps on the way"}}})
	case "clients":
		all = append(all, Question{"best", "What matters more?", []Option{{"quality", "the best quality"}, {"memory", "little memory"}}})
	}
	return all
}

// Decision is where the tree ends: a run that is ready, and what it needs.
type Decision struct {
	Method  string    `json:"method"`
	Adapter string    `json:"adapter"` // full, lora, qlora
	Path    []string  `json:"path"`    // the forks that were taken, and why
	Run     ftlib.Run `json:"-"`
	YAML    string    `json:"run"`
	Report  Report    `json:"report"`
}

// Decide follows the decision tree. The method comes from the goal and from what can be known of
// an answer; how the weights are adapted comes from the ledger: all of them where the card holds
// that, LoRA where it holds the model in bfloat16, else QLoRA.
func Decide(a Answers) (Decision, error) {
	for _, q := range Questions(a) {
		if err := q.accepts(a.Of(q.Key)); err != nil {
			return Decision{}, err
		}
	}
	if a.Model == "" {
		a.Model = "7b"
	}
	if a.Device == "" {
		a.Device = "rtx3060"
	}
	shape, err := FindShape(a.Model)
	if err != nil {
		return Decision{}, err
	}
	d, err := FindDevice(a.Device)
	if err != nil {
		return Decision{}, err
	}
	return decide(a, shape, d)
}

// DecideOn is [Decide] for a model and a device that are given.
func DecideOn(a Answers, shape Shape, d Device) (Decision, error) {
	for _, q := range Questions(a) {
		if err := q.accepts(a.Of(q.Key)); err != nil {
			return Decision{}, err
		}
	}
	return decide(a, shape, d)
}

func decide(a Answers, shape Shape, d Device) (Decision, error) {
	var out Decision
	run := ftlib.Run{Model: ftlib.Model{Path: a.Model}, Data: ftlib.Data{Train: a.Data, MaxLength: a.Length}}
	if run.Data.MaxLength == 0 {
		run.Data.MaxLength = usualLength(shape.Positions)
	}
	data, why := method(a, &run)
	if run.Data.Train == "" {
		run.Data.Train = data
	}
	out.Path = append(out.Path, why)
	limit := d.Bytes()
	fits := func(r ftlib.Run) bool { return Memory(SetupOf(r, shape, d.Place())).Bytes() <= limit }
	prepare := func(adapter string) ftlib.Run {
		r := run.Clone()
		if adapter != "full" {
			r.LoRA = &ftlib.LoRA{R: 16, Alpha: 32}
			if d.GPU() && d.Name != "t4" {
				r.Model.DType = "bfloat16"
			}
		}
		if adapter == "qlora" {
			r.Model.Load4Bit, r.Model.DoubleQuant = true, true
		}
		if r.Method.PPO == nil && r.Method.GRPO == nil && r.Method.RLOO == nil {
			r.Batch.Size, r.Batch.Accumulate = 1, 16
		}
		r.Model.Memory = "recompute"
		return r
	}
	order := []string{"full", "lora", "qlora"}
	switch a.Goal {
	case "clients":
		order = map[string][]string{"quality": {"lora", "qlora"}, "memory": {"qlora"}}[a.Best]
	case "preferences", "reasoning": // the reference is the base with the adapter off
		order = order[1:]
	}
	for i, adapter := range order {
		run = prepare(adapter)
		out.Adapter = adapter
		ok := fits(run)
		need := Size(Memory(SetupOf(run, shape, d.Place())).Bytes())
		name := map[string]string{"full": "training all weights", "lora": "LoRA", "qlora": "QLoRA"}[adapter]
		if ok {
			out.Path = append(out.Path, fmt.Sprintf("%s takes %s of the %s that %s has", name, need, Size(limit), d.Title))
			break
		}
		out.Path = append(out.Path, fmt.Sprintf("%s would take %s, and %s has %s", name, need, d.Title, Size(limit)))
		if i == len(order)-1 {
			if advice := Fit(run, shape, d, limit); len(advice) > 0 {
				run = advice[0].Run
				out.Path = append(out.Path, "with "+advice[0].Words())
			}
		}
	}
	out.Method, out.Run = run.Resolve().Method.Name(), run
	encoded, err := run.Encode()
	if err != nil {
		return out, err
	}
	out.YAML = string(encoded)
	out.Report = Of(run, shape, d, Work{}, 0)
	return out, nil
}

// method writes the method into a run, and says which of the teaching data shows its form.
func method(a Answers, run *ftlib.Run) (data, why string) {
	m := &run.Method
	answers := ftlib.Rollout{MaxLength: min(256, run.Data.MaxLength/2)}
	answer := map[string]string{"preferences": a.Feedback, "reasoning": a.Check}[a.Goal]
	switch a.Goal + "/" + answer {
	case "preferences/pairs":
		m.DPO = &ftlib.DPO{}
		return "datasets/preferences", "pairs are enough for DPO: no reward model, no sampling"
	case "preferences/votes":
		m.KTO = &ftlib.KTO{}
		return "datasets/preferences", "single answers, good or bad, are what KTO takes"
	case "preferences/team":
		m.PPO = &ftlib.PPO{Rollout: answers, Prompts: 16}
		m.PPO.Rewards = []ftlib.RewardFunc{{Use: "model", Path: "runs/reward"}}
		return "datasets/preferences", "people who judge all the time make a reward model (method: reward) that PPO asks: full RLHF"
	case "reasoning/answers":
		m.STaR = &ftlib.STaR{Rollout: answers, Samples: 4}
		m.STaR.Rewards = []ftlib.RewardFunc{{Use: "accuracy", Kind: "numeric"}}
		return "datasets/math", "final answers can be checked: STaR keeps the solutions that reach them (GRPO is the other way)"
	case "reasoning/code":
		m.GRPO = &ftlib.GRPO{Rollout: answers}
		m.GRPO.Rewards = []ftlib.RewardFunc{{Use: "code"}}
		return "datasets/code", "tests run the code: GRPO makes the answers that pass more likely"
	case "reasoning/steps":
		m.PRM = &ftlib.PRM{}
		return "datasets/steps", "labelled steps train a process reward model, which then judges answers (rewards: use: prm)"
	}
	m.SFT = &ftlib.SFT{}
	if a.Goal == "clients" {
		return "datasets/chat", "an adapter for each client on one base: adapters are switched in microseconds"
	}
	return "datasets/chat", "right answers are known: supervised fine-tuning"
}

// Of is the answer to a question.
func (a Answers) Of(key string) string {
	return map[string]string{"goal": a.Goal, "feedback": a.Feedback, "check": a.Check, "best": a.Best}[key]
}

// With is a with an answer to a question.
func (a Answers) With(key, value string) Answers {
	switch key {
	case "goal":
		a.Goal = value
	case "feedback":
		a.Feedback = value
	case "check":
		a.Check = value
	case "best":
		a.Best = value
	}
	return a
}

func (q Question) accepts(value string) error {
	var known []string
	for _, o := range q.Options {
		if o.Value == value {
			return nil
		}
		known = append(known, o.Value)
	}
	return fmt.Errorf("plan: %s %q is not one of %s", q.Key, value, strings.Join(known, ", "))
}

// Has says whether a value is one of the answers.
func (q Question) Has(value string) bool { return q.accepts(value) == nil }

// TextOf is the text of an answer, or that of the first one.
func (q Question) TextOf(value string) string {
	for _, o := range q.Options {
		if o.Value == value {
			return o.Text
		}
	}
	return q.Options[0].Text
}

// Value is the answer that has this text.
func (q Question) Value(text string) string {
	for _, o := range q.Options {
		if o.Text == text {
			return o.Value
		}
	}
	return ""
}
