package tiny

import (
	"fmt"
	"strconv"
	"strings"

	"ftlab/internal/world"
)

// Completer continues texts: greedily at temperature 0, else by sampling. It
// stops a text at the end-of-text token, which it leaves out.
type Completer func(prompts []string, tokens int, temperature float64) ([]string, error)

// Share is how many of how many were right.
type Share struct {
	Right int `json:"right"`
	Of    int `json:"of"`
}

// Rate is the part that was right.
func (s Share) Rate() float64 { return float64(s.Right) / float64(max(1, s.Of)) }

// String is "0.93 (93 of 100)".
func (s Share) String() string { return fmt.Sprintf("%.3f (%d of %d)", s.Rate(), s.Right, s.Of) }

// Results is what the model can do as it comes from pretraining.
type Results struct {
	Facts     Share `json:"facts"`     // "Q: Where does Anna live?\nA:" -> the sentence
	Equations Share `json:"equations"` // "17 + 6 =" after two other equations -> the number

	// Word problems of one, two and three steps:
	Greedy  [3]Share `json:"greedy"`
	Sampled [3]Share `json:"sampled"` // at temperature 1
	Hinted  [3]Share `json:"hinted"`  // greedy, with the answer told beforehand
	Sample  string   `json:"sample"`  // one of two steps with its solution
}

// PerLength is how many problems of each length the card's figures are of; the
// standard error of a share of .25 is then 2.5 points.
const PerLength = 300

// Evaluate asks for all facts, n equations, and n reserved problems of each length.
func Evaluate(w *world.World, complete Completer, n int) (Results, error) {
	var r Results
	share := func(prompts []string, tokens int, temperature float64, right func(i int, text string) bool) (Share, []string, error) {
		out, err := complete(prompts, tokens, temperature)
		if err != nil {
			return Share{}, nil, err
		}
		if len(out) != len(prompts) {
			return Share{}, nil, fmt.Errorf("tiny: %d texts for %d prompts", len(out), len(prompts))
		}
		s := Share{Of: len(out)}
		for i, text := range out {
			if right(i, text) {
				s.Right++
			}
		}
		return s, out, nil
	}

	var prompts []string
	facts := w.Facts()
	for _, e := range facts {
		prompts = append(prompts, "Q: "+e.Question+"\nA:")
	}
	var err error
	if r.Facts, _, err = share(prompts, 16, 0, func(i int, text string) bool {
		line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		return line == facts[i].Answer
	}); err != nil {
		return r, err
	}

	ops := w.Equations("evaluation", 3*n)
	prompts = prompts[:0]
	for i := 0; i < len(ops); i += 3 {
		last := ops[i+2]
		prompts = append(prompts, fmt.Sprintf("%s %s %d %c %d =", ops[i], ops[i+1], last.A, last.Sign, last.B))
	}
	if r.Equations, _, err = share(prompts, 6, 0, func(i int, text string) bool {
		number, _, _ := strings.Cut(strings.TrimSpace(text), ".")
		return number == fmt.Sprint(ops[3*i+2].C)
	}); err != nil {
		return r, err
	}

	for k := range r.Greedy {
		problems := w.Problems("evaluation", n, k+1)
		right := func(i int, text string) bool { return answer(text) == problems[i].Answer }
		for _, m := range []struct {
			to          *Share
			hint        bool
			temperature float64
		}{{&r.Greedy[k], false, 0}, {&r.Sampled[k], false, 1}, {&r.Hinted[k], true, 0}} {
			prompts = prompts[:0]
			for _, p := range problems {
				prompts = append(prompts, p.Prompt(m.hint))
			}
			var out []string
			if *m.to, out, err = share(prompts, 64, m.temperature, right); err != nil {
				return r, err
			}
			if k == 1 && m.to == &r.Greedy[k] {
				r.Sample = prompts[0] + out[0]
			}
		}
	}
	return r, nil
}

// answer is the number behind "Answer:", -1 when there is none.
func answer(text string) int {
	_, rest, ok := strings.Cut(text, "Answer: ")
	if !ok {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(rest))
	if err != nil {
		return -1
	}
	return n
}
