package corpus

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func (in *input) answer() string {
	if !in.has("answer") {
		return ""
	}
	return strings.TrimSpace(in.optional("answer"))
}

// makeSteps reads {step, reward} lists.
func makeSteps(in *input) ([]Record, *RowError) {
	rec := Record{Problem: in.text("problem"), Answer: in.answer()}
	for i, e := range in.list("steps") {
		obj, _ := e.(map[string]any)
		text, _ := firstOf(obj, "step", "text", "content", "completion")
		s, ok := text.(string)
		reward, okReward := firstOf(obj, "reward", "label", "rating", "score", "value", "mc_value", "correct")
		r, okNumber := stepReward(reward)
		switch {
		case !ok || strings.TrimSpace(s) == "":
			in.fail("steps", fmt.Sprintf("step %d has no text", i+1))
		case !okReward || !okNumber:
			in.fail("steps", fmt.Sprintf("step %d has no reward", i+1))
		}
		rec.Steps = append(rec.Steps, Step{Text: s, Reward: r})
	}
	return []Record{rec}, in.err
}

// stepReward is a number, or a word that says right or wrong.
func stepReward(v any) (float64, bool) {
	if f, ok := asNumber(v); ok {
		return f, true
	}
	if b, ok := asTruth(v); ok {
		f, _ := asNumber(b)
		return f, true
	}
	return 0, false
}

// makeStepwise reads TRL's stepwise rows: completions and labels side by side.
func makeStepwise(in *input) ([]Record, *RowError) {
	rec := Record{Problem: in.text("prompt"), Answer: in.answer()}
	texts, labels := in.list("completions"), in.list("labels")
	if in.err == nil && len(texts) != len(labels) {
		in.fail("labels", fmt.Sprintf("%d labels for %d completions", len(labels), len(texts)))
	}
	if in.err != nil {
		return nil, in.err
	}
	for i, t := range texts {
		s, ok := t.(string)
		r, okReward := stepReward(labels[i])
		switch {
		case !ok || strings.TrimSpace(s) == "":
			in.fail("completions", fmt.Sprintf("step %d is empty", i+1))
		case !okReward:
			in.fail("labels", fmt.Sprintf("label %d is %s", i+1, typeName(labels[i])))
		}
		rec.Steps = append(rec.Steps, Step{Text: s, Reward: r})
	}
	return []Record{rec}, in.err
}

// stepTag ends a step in Math-Shepherd's input column.
const stepTag = "ки"

var firstStep = regexp.MustCompile(`(?:^|\s)Step 1\s*:`)

// makeShepherd reads Math-Shepherd rows: in label, each step tag of input is
// replaced by + or -.
func makeShepherd(in *input) ([]Record, *RowError) {
	input, label := in.text("input"), in.text("label")
	if in.err != nil {
		return nil, in.err
	}
	parts := strings.Split(input, stepTag)
	if len(parts) < 2 {
		in.fail("input", "no step tag "+stepTag)
		return nil, in.err
	}
	rec := Record{}
	rest := label
	for i, part := range parts[:len(parts)-1] {
		if !strings.HasPrefix(rest, part) || len(rest) == len(part) {
			in.fail("label", fmt.Sprintf("differs from input at step %d", i+1))
			return nil, in.err
		}
		rest = rest[len(part):]
		step := Step{}
		switch rest[0] {
		case '+':
			step.Reward = 1
		case '-':
		default:
			in.fail("label", fmt.Sprintf("step %d is neither + nor -", i+1))
			return nil, in.err
		}
		rest = rest[1:]
		if i == 0 {
			at := firstStep.FindStringIndex(part)
			if at == nil {
				in.fail("input", "no \"Step 1:\"")
				return nil, in.err
			}
			rec.Problem, part = strings.TrimSpace(part[:at[0]]), part[at[0]:]
		}
		step.Text = strings.TrimSpace(part)
		rec.Steps = append(rec.Steps, step)
	}
	if n := len(rec.Steps); n > 0 {
		if _, after, ok := cutLast(rec.Steps[n-1].Text, "The answer is:"); ok {
			rec.Answer = strings.TrimSpace(after)
		}
	}
	return []Record{rec}, in.err
}

// makePRM800K reads PRM800K rows. The first record is the solution that the
// labeller went on with; where a step was written by a person it counts as right.
// Every other rated completion makes a record that ends with it. Ratings -1, 0
// and 1 become 0, 0.5 and 1.
func makePRM800K(in *input) ([]Record, *RowError) {
	main := Record{Problem: in.text("problem"), Answer: in.answer()}
	var others []Record
	for i, e := range in.list("steps") {
		step, _ := e.(map[string]any)
		completions, _ := step["completions"].([]any)
		chosen := -1
		if f, ok := step["chosen_completion"].(int64); ok {
			chosen = int(f)
		}
		var next *Step
		if human, ok := step["human_completion"].(map[string]any); ok && chosen < 0 {
			if s, _ := human["text"].(string); s != "" {
				next = &Step{Text: s, Reward: 1}
			}
		}
		for j, c := range completions {
			obj, _ := c.(map[string]any)
			s, _ := obj["text"].(string)
			rating, ok := asNumber(obj["rating"])
			if strings.TrimSpace(s) == "" || !ok {
				if j == chosen {
					in.fail("steps", fmt.Sprintf("step %d has no text or rating", i+1))
				}
				continue
			}
			st := Step{Text: s, Reward: (rating + 1) / 2}
			last := chosen < 0 && next == nil && i == len(in.list("steps"))-1
			if j == chosen || last {
				next = &st
				continue
			}
			others = append(others, Record{Problem: main.Problem, Steps: append(slices.Clone(main.Steps), st)})
		}
		if next == nil {
			break // the labeller gave up here
		}
		main.Steps = append(main.Steps, *next)
	}
	if in.err == nil && len(main.Steps) == 0 {
		in.fail("steps", "no rated step")
	}
	return append([]Record{main}, others...), in.err
}

// solution is a node of a tree of solutions.
type solution struct {
	text     string
	value    float64
	children []*solution
}

// makeAPS reads MATH-APS rows, which hold many solutions of a problem: as a tree
// of steps, or as prefixes, each continuing a shorter one. Every path from the
// problem to an end is a record; the longest of those whose end has the highest
// value comes first.
func makeAPS(in *input) ([]Record, *RowError) {
	problem := in.text("problem")
	var root *solution
	switch v := in.any("steps").(type) {
	case map[string]any:
		root = solutionTree(v, 0)
	case []any:
		root = solutionPrefixes(problem, v)
	}
	if root == nil || len(root.children) == 0 {
		in.fail("steps", "no solution: prefixes or a tree with mc_value are expected")
		return nil, in.err
	}
	var out []Record
	var walk func(n *solution, steps []Step)
	walk = func(n *solution, steps []Step) {
		for _, c := range n.children {
			path := append(slices.Clone(steps), Step{Text: c.text, Reward: c.value})
			if len(c.children) == 0 {
				out = append(out, Record{Problem: problem, Answer: in.answer(), Steps: path})
			}
			walk(c, path)
		}
	}
	walk(root, nil)
	slices.SortStableFunc(out, func(a, b Record) int {
		la, lb := a.Steps[len(a.Steps)-1].Reward, b.Steps[len(b.Steps)-1].Reward
		if la != lb {
			if la > lb {
				return -1
			}
			return 1
		}
		return len(b.Steps) - len(a.Steps)
	})
	return out, in.err
}

func solutionTree(v map[string]any, depth int) *solution {
	text, _ := v["text"].(string)
	value, ok := asNumber(v["mc_value"])
	if !ok || depth > 200 {
		return nil
	}
	n := &solution{text: strings.TrimSpace(text), value: value}
	children, _ := v["children"].([]any)
	for _, c := range children {
		obj, _ := c.(map[string]any)
		if child := solutionTree(obj, depth+1); child != nil && child.text != "" {
			n.children = append(n.children, child)
		}
	}
	return n
}

// solutionPrefixes hangs every prefix below the longest other one that it continues.
func solutionPrefixes(problem string, list []any) *solution {
	root := &solution{text: problem}
	type placed struct {
		prefix string
		node   *solution
	}
	all := []placed{{problem, root}}
	sorted := slices.Clone(list)
	prefix := func(v any) string {
		obj, _ := v.(map[string]any)
		s, _ := obj["solution_prefix"].(string)
		return s
	}
	slices.SortStableFunc(sorted, func(a, b any) int { return len(prefix(a)) - len(prefix(b)) })
	for _, v := range sorted {
		p := prefix(v)
		obj, _ := v.(map[string]any)
		value, ok := asNumber(obj["mc_value"])
		if strings.TrimSpace(p) == "" || !ok || strings.TrimSpace(p) == strings.TrimSpace(problem) {
			continue
		}
		best := all[0]
		for _, q := range all[1:] {
			if len(q.prefix) > len(best.prefix) && len(p) > len(q.prefix) && strings.HasPrefix(p, q.prefix) {
				best = q
			}
		}
		text := strings.TrimSpace(strings.TrimPrefix(p, best.prefix))
		if text == "" {
			continue
		}
		node := &solution{text: text, value: value}
		best.node.children = append(best.node.children, node)
		all = append(all, placed{p, node})
	}
	return root
}
