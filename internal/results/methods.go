package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/tune"
	"ftlab/ftlib/verify"
)

// The phrases of datasets/preferences that say a tone (internal/world/tone.go).
var (
	polite = []string{"Of course!", "With pleasure!", "I am glad you asked.", "Good question!", "Happy to help!", "Thank you for asking.", "Let me help you.", "What a nice question!",
		"I hope that helps.", "Let me know if you need more.", "Have a lovely day!", "Ask me any time.", "Please come again.", "It was a pleasure.", "Take care!", "You are always welcome."}
	curt = []string{"Not again.", "Why do you ask me?", "If I must.", "What now?", "Everyone knows that.", "You should know this.", "Leave me alone.", "What a strange question.",
		"Now go away.", "Stop asking.", "Look it up next time.", "I am busy.", "Do not bother me again.", "That is all you get.", "Do not waste my time.", "Find out yourself."}
)

// tone is the number of polite phrases less that of curt ones.
func tone(_ context.Context, s reward.Sample) (float64, error) {
	n := 0.0
	for _, p := range polite {
		if strings.Contains(s.Completion, p) {
			n++
		}
	}
	for _, p := range curt {
		if strings.Contains(s.Completion, p) {
			n--
		}
	}
	return n, nil
}

func rewardRow(method, what string, before, after float64, more string, seconds float64) []row {
	return []row{{method: method, what: what, before: before, after: after, more: more, seconds: seconds}}
}

// untrained validates what a run begins with.
func (l *lab) untrained(run ftlib.Run) (tune.Result, error) {
	run.Name += "-before"
	run.Batch.MaxSteps, run.Optim.LearningRate, run.Eval.Every = 1, 1e-12, 1
	run.Optim.WarmupRatio, run.Optim.WarmupSteps = 0, 0
	return l.train(run)
}

// beforeAndAfter trains a run file, and measures what it begins with.
func (l *lab) beforeAndAfter(name string) (was, res tune.Result, err error) {
	run, err := l.spec(name)
	if err != nil {
		return was, res, err
	}
	if was, err = l.untrained(run); err != nil {
		return was, res, err
	}
	res, err = l.train(run)
	return was, res, err
}

func (l *lab) rewardModel() ([]row, error) {
	if err := l.first("sft"); err != nil {
		return nil, err
	}
	was, res, err := l.beforeAndAfter("reward")
	return rewardRow("reward", "accuracy on pairs", was.Eval["eval_accuracy"], res.Eval["eval_accuracy"], "", res.Seconds), err
}

// chosen is the share of pairs whose chosen answer is the more probable one.
func (l *lab) chosen(name string, model ftlib.Model, data ftlib.Data) (float64, error) {
	run := ftlib.Run{Name: name, Out: l.dir, Seed: l.seed, Model: model, Data: data}
	run.Method.CPO = &ftlib.CPO{}
	run.Batch.Size = 16
	if model.Adapter == "" {
		run.LoRA = &ftlib.LoRA{R: 1}
	}
	res, err := l.untrained(run)
	return res.Eval["eval_rewards/accuracies"], err
}

// preferenceOf is a method that trains on preferences, against the model that it began with.
func preferenceOf(l *lab, name string) ([]row, error) {
	if err := l.first("sft"); err != nil {
		return nil, err
	}
	run, err := l.spec(name)
	if err != nil {
		return nil, err
	}
	was, err := l.chosen(name+"-pairs", run.Model, run.Data)
	if err != nil {
		return nil, err
	}
	res, err := l.train(run)
	if err != nil {
		return nil, err
	}
	trained := ftlib.Model{Path: run.Model.Path, Adapter: res.Checkpoint}
	is, err := l.chosen(name+"-pairs-after", trained, run.Data)
	if err != nil {
		return nil, err
	}
	sft := ftlib.Model{Path: l.moved("runs/sft/merged")}
	a, err := l.answers(name+"-sft", sft, run.Data, 40, tone)
	if err != nil {
		return nil, err
	}
	b, err := l.answers(name+"-answers", trained, run.Data, 40, tone)
	if err != nil {
		return nil, err
	}
	more := ""
	if right, ok := res.Eval["eval_rewards/accuracies"]; ok { // KTO judges single answers
		more = fmt.Sprintf("implicit reward right in %.3f", right)
	}
	return []row{
		{method: name, what: "chosen answer more probable", before: was, after: is, seconds: res.Seconds, more: more},
		{method: name, what: "politer than the SFT model's answer, ties half", before: 0.5, after: wins(b, a), seconds: res.Seconds,
			more: fmt.Sprintf("tone %.2f, was %.2f", b.mean(), a.mean())},
	}, nil
}

// wins is the share of prompts where a is judged better than b, ties counting half.
func wins(a, b judged) float64 {
	won, n := 0.0, 0.0
	for prompt, v := range a {
		w, ok := b[prompt]
		if !ok {
			continue
		}
		n++
		switch {
		case v > w:
			won++
		case v == w:
			won += 0.5
		}
	}
	return won / n
}

// ppo is judged by the reward model that it is trained on, by the KL to its reference, and by
// the rule that it has never seen.
func (l *lab) ppo() ([]row, error) {
	for _, name := range []string{"sft", "reward"} {
		if err := l.first(name); err != nil {
			return nil, err
		}
	}
	run, err := l.spec("ppo")
	if err != nil {
		return nil, err
	}
	was, err := l.untrained(run)
	if err != nil {
		return nil, err
	}
	res, err := l.train(run)
	if err != nil {
		return nil, err
	}
	a, err := l.answers("ppo-sft", run.Model, run.Data, 40, tone)
	if err != nil {
		return nil, err
	}
	b, err := l.answers("ppo-answers", ftlib.Model{Path: run.Model.Path, Adapter: res.Checkpoint}, run.Data, 40, tone)
	if err != nil {
		return nil, err
	}
	events, err := ckpt.Events(res.Dir)
	if err != nil {
		return nil, err
	}
	kl, n, lowest := 0.0, 0.0, math.Inf(1)
	for _, e := range events {
		if e.Type == ftlib.EventStep && e.Step > res.Step*3/4 {
			kl, n, lowest = kl+e.Metrics["objective/kl"], n+1, min(lowest, e.Metrics["reward"])
		}
	}
	return rewardRow("ppo", "reward of greedy answers", was.Eval["eval_reward"], res.Eval["eval_reward"],
		fmt.Sprintf("in the last quarter KL %.1f of %.0f nats an answer, no rollout below %.2f; politer in %.3f", kl/n, run.Method.PPO.KLTarget, lowest, wins(b, a)), res.Seconds), nil
}

func problemsOf(l *lab, name string) ([]row, error) {
	was, res, err := l.beforeAndAfter(name)
	return rewardRow(name, "problems answered right, greedy", was.Eval["eval_reward"], res.Eval["eval_reward"], "", res.Seconds), err
}

func (l *lab) prm() ([]row, error) {
	if err := l.first("solver"); err != nil {
		return nil, err
	}
	was, res, err := l.beforeAndAfter("prm")
	return rewardRow("prm", "wrong steps told from right ones (AUC)", was.Eval["eval_auc"], res.Eval["eval_auc"],
		fmt.Sprintf("accuracy %.3f", res.Eval["eval_accuracy"]), res.Seconds), err
}

// star is trained with rationalisation and without: on many problems, of which the model solves
// some, and on few, which it gets wrong by habit, as it adds where something is taken away.
func (l *lab) star() ([]row, error) {
	steps := func(solution string) int { return strings.Count(solution, "=") }
	var rows []row
	for _, set := range []struct {
		name, what string
		problems   int // of a round; 0: as the run file says
		wanted     func(string) bool
	}{
		{"star", "problems of 2 and 3 steps", 0, func(s string) bool { return steps(s) > 1 }},
		{"star-few", "problems of 2 steps that take away", 48, func(s string) bool { return steps(s) == 2 && strings.Contains(s, " - ") }},
	} {
		more, err := l.starOn(set.name, set.what, set.problems, set.wanted)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (l *lab) starOn(name, what string, problems int, wanted func(string) bool) ([]row, error) {
	run, err := l.spec("star")
	if err != nil {
		return nil, err
	}
	if run.Data.Train, err = l.problems(name+"-problems", wanted); err != nil {
		return nil, err
	}
	before, err := l.answers(name+"-before", run.Model, run.Data, 40, reward.Accuracy(verify.Numeric))
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, without := range []bool{false, true} {
		s := *run.Method.STaR
		s.NoRationalize = without
		if problems > 0 {
			s.Problems = problems
		}
		run.Method.STaR = &s
		run.Name = name
		about := fmt.Sprintf("%s, %d a round", what, s.Problems)
		if without {
			run.Name, about = name+"-without", about+", without rationalisation"
		}
		res, err := l.train(run)
		if err != nil {
			return nil, err
		}
		more, err := rounds(res.Dir)
		if err != nil {
			return nil, err
		}
		rows = append(rows, rewardRow(name, about, before.mean(), res.Eval["eval_reward"], more, res.Seconds)...)
	}
	return rows, nil
}

// rounds are the accuracy after each round of a run of STaR, and how many rows it was trained on.
func rounds(dir string) (string, error) {
	events, err := ckpt.Events(dir)
	if err != nil {
		return "", err
	}
	var right, rows []string
	round := 0.0
	for _, e := range events {
		if r := math.Round(e.Metrics["star/round"]); e.Type == ftlib.EventStep && r != round {
			round = r
			rows = append(rows, fmt.Sprintf("%.0f", e.Metrics["star/rows"]))
		}
		if v, ok := e.Metrics["eval_reward"]; ok && e.Type == ftlib.EventEval {
			right = append(right, fmt.Sprintf("%.3f", v))
		}
	}
	return fmt.Sprintf("after each round %s, trained on %s rows", strings.Join(right, ", "), strings.Join(rows, ", ")), nil
}
