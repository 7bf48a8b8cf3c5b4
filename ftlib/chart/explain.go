package chart

import (
	"slices"
	"strings"

	"ftlab/ftlib"
)

// helps say what a method's number is. Names that end in "/" stand for all that begin so.
var helps = []struct{ name, text string }{
	{"rewards/chosen", "How much more likely the chosen answers are than under the reference: beta times the difference of log-probabilities."},
	{"rewards/rejected", "The same of the rejected answers."},
	{"rewards/margins", "Reward of the chosen minus that of the rejected answer: this is what the loss widens."},
	{"rewards/accuracies", "Share of pairs whose chosen answer has the higher reward; one half is chance."},
	{"logps/chosen", "Log-probability of the chosen answers. The loss does not ask that it rises, only that it stays above that of the rejected ones by more than before: both may fall."},
	{"logps/rejected", "Log-probability of the rejected answers."},
	{"reward", "Mean reward of the answers: what should rise. The loss of these methods says nothing."},
	{"reward_std", "How far answers to one prompt differ in reward: without a difference there is no gradient."},
	{"frac_reward_zero_std", "Share of prompts whose answers all got one reward: they train nothing."},
	{"kl", "Distance from the reference model, in nats a token."},
	{"objective/kl", "Distance from the reference model, in nats an answer."},
	{"objective/scores", "Mean reward of the answers, before the distance from the reference is taken off."},
	{"objective/rlhf_reward", "Reward less the distance from the reference: what PPO raises."},
	{"entropy", "How undecided the model is about the next token, in nats. Near zero all answers are alike."},
	{"policy/entropy", "How undecided the model is about the next token, in nats. Near zero all answers are alike."},
	{"policy/approxkl", "Distance from the policy that wrote the rollout: how far the steps on it have gone."},
	{"policy/clipfrac", "Share of tokens whose ratio was clipped: no gradient comes from them."},
	{"clip_ratio/", "Share of tokens whose ratio was clipped, below, above, or on either side: no gradient comes from them."},
	{"completions/clipped_ratio", "Share of answers that met the length limit: they are cut, and mostly wrong for it."},
	{"completions/mean_length", "Tokens of an answer."},
	{"star/solved", "Share of the round's problems solved without the hint."},
	{"star/with_hint", "Share solved alone or with the answer as a hint: what the round trains on."},
}

func help(name string) string {
	for _, h := range helps {
		if h.name == name || strings.HasSuffix(h.name, "/") && strings.HasPrefix(name, h.name) {
			return h.text
		}
	}
	return ""
}

// explainLoss says of losses that stay near zero why they do, where people look first.
func explainLoss(f *Figure, events []ftlib.Event) {
	reported := func(name string) bool {
		return slices.ContainsFunc(events, func(e ftlib.Event) bool { _, ok := e.Metrics[name]; return ok })
	}
	if !reported("frac_reward_zero_std") {
		return
	}
	const why = "The advantages of a group add up to zero and the ratio of probabilities is 1 on its own rollout, so that the value of the loss is about 0 (or that of the KL term) whatever is learnt. " +
		"Its gradient is not: it is the advantage times the slope of log p, and it raises good answers and lowers bad ones. Look at the reward."
	f.Subtitle = "about 0 by construction, while the gradient is not: look at the reward"
	for i := range f.Series {
		if s := &f.Series[i]; !s.Right {
			s.Help = why
		}
	}
}

// bothFall explains a chart in which chosen and rejected answers lose probability together.
func bothFall(events []ftlib.Event, names []string) string {
	if !slices.Contains(names, "logps/chosen") || !slices.Contains(names, "logps/rejected") {
		return ""
	}
	fall := func(name string) float64 {
		p := metric(events, name)
		n := len(p.y)
		if n < 4 {
			return 0
		}
		mean := func(list []float64) float64 {
			sum := 0.0
			for _, v := range list {
				sum += v / float64(len(list))
			}
			return sum
		}
		q := max(1, n/4)
		return mean(p.y[:q]) - mean(p.y[n-q:])
	}
	chosen, rejected := fall("logps/chosen"), fall("logps/rejected")
	switch {
	case chosen > 0.5 && rejected > chosen:
		return "both fall: normal for a loss that asks for a margin only; the rejected answers fall faster. If texts get worse: a lower learning rate, a higher beta, or the loss type sft beside it"
	case chosen > 0.5:
		return "both fall, the chosen answers as fast: nothing is preferred. Lower the learning rate, and look at the pairs"
	}
	return ""
}
