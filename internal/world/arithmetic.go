package world

import (
	"fmt"
	"strings"
)

// Op is one step of a computation as it is written down: A Sign B = C. A pupil's
// C may be wrong.
type Op struct {
	A    int
	Sign byte // '+', '-' or '*'
	B, C int
}

// String is the step as a sentence, "17 + 6 = 23."
func (o Op) String() string { return fmt.Sprintf("%d %c %d = %d.", o.A, o.Sign, o.B, o.C) }

func compute(a int, sign byte, b int) int {
	switch sign {
	case '+':
		return a + b
	case '-':
		return a - b
	default:
		return a * b
	}
}

// Problem is an arithmetic word problem with its right steps.
type Problem struct {
	Text   string
	Steps  []Op
	Answer int
}

// Solution is what somebody wrote under a problem.
type Solution struct {
	Steps  []Op
	Answer int
}

// Rationale is the steps as text, without the answer.
func (s Solution) Rationale() string {
	out := make([]string, len(s.Steps))
	for i, o := range s.Steps {
		out[i] = o.String()
	}
	return strings.Join(out, " ")
}

// String is the solution as it stands in the pretraining text:
// "17 + 6 = 23. 23 - 11 = 12. Answer: 12".
func (s Solution) String() string { return fmt.Sprintf("%s Answer: %d", s.Rationale(), s.Answer) }

// Solution is the right one.
func (p Problem) Solution() Solution { return Solution{p.Steps, p.Answer} }

// Prompt is the problem as it stands in the pretraining text, up to the place
// where the solution begins with a space. A hint is the answer, told beforehand.
func (p Problem) Prompt(hint bool) string {
	if hint {
		return fmt.Sprintf("Problem: %s\nHint: %d\nSolution:", p.Text, p.Answer)
	}
	return "Problem: " + p.Text + "\nSolution:"
}

var (
	things = strings.Fields("apples pens books coins shells cards eggs stamps marbles plums cookies balls")
	more   = []string{"{He} buys {x} more.", "{He} finds {x} more.", "Then {he} gets {x} more from {other}.", "{other} gives {name} {x} more.", "{He} wins {x} more.", "Then {he} picks up {x} more."}
	fewer  = []string{"{He} loses {x}.", "{He} gives {x} to {other}.", "Then {he} sells {x}.", "{other} takes {x} away.", "{He} breaks {x}.", "Then {he} throws {x} away."}
)

// problem makes a word problem of so many steps. Numbers stay from 1 to 49; one
// problem in five begins with boxes, which is a product.
func problem(s *source, steps int) Problem {
	who, thing := sample(s, names, 2), pick(s, things)
	he := Person{Name: who[0]}.pronoun()
	words := strings.NewReplacer("{He}", he, "{he}", strings.ToLower(he), "{name}", who[0], "{other}", who[1])
	var p Problem
	var text []string
	current, left := s.between(3, 20), steps
	if s.chance(0.2) {
		boxes, each := s.between(2, 6), s.between(2, 6)
		current = boxes * each
		text = append(text, fmt.Sprintf("%s has %d boxes with %d %s in each.", who[0], boxes, each, thing))
		p.Steps = append(p.Steps, Op{boxes, '*', each, current})
		left--
	} else {
		text = append(text, fmt.Sprintf("%s has %d %s.", who[0], current, thing))
	}
	for range left {
		sign, list, most := byte('+'), more, min(15, 49-current)
		// The sign is drawn first and the number made to fit, so that there is as
		// much to take away as to add.
		if least := min(15, current-1); least >= 2 && (most < 2 || s.chance(0.5)) {
			sign, list, most = '-', fewer, least
		}
		x := s.between(2, most)
		text = append(text, strings.ReplaceAll(words.Replace(pick(s, list)), "{x}", fmt.Sprint(x)))
		p.Steps = append(p.Steps, Op{current, sign, x, compute(current, sign, x)})
		current = p.Steps[len(p.Steps)-1].C
	}
	p.Text = strings.Join(text, " ") + fmt.Sprintf(" How many %s does %s have now?", thing, who[0])
	p.Answer = current
	return p
}

// Problems is n different reserved problems of so many steps, from a stream of its
// own: none was in the pretraining documents or in a training file.
func (w *World) Problems(stream string, n, steps int) []Problem {
	s := newSource(w.Seed, fmt.Sprintf("problems of %d steps %s", steps, stream))
	seen := map[string]bool{}
	var out []Problem
	for len(out) < n {
		if p := problem(s, steps); Reserved(p.Text) && !seen[p.Text] {
			seen[p.Text] = true
			out = append(out, p)
		}
	}
	return out
}

// equation is a step on its own, in the range that problems use.
func equation(s *source) Op {
	o := Op{Sign: '+'}
	switch s.share([]float64{0.45, 0.45, 0.1}) {
	case 0:
		o.A, o.B = s.between(1, 40), s.between(1, 15)
	case 1:
		o.Sign, o.B = '-', s.between(1, 15)
		o.A = s.between(o.B, 50)
	default:
		o.Sign, o.A, o.B = '*', s.between(2, 9), s.between(2, 9)
	}
	o.C = compute(o.A, o.Sign, o.B)
	return o
}

// Equations is n steps to complete, from a stream of its own.
func (w *World) Equations(stream string, n int) []Op {
	s := newSource(w.Seed, "equations "+stream)
	out := make([]Op, n)
	for i := range out {
		out[i] = equation(s)
	}
	return out
}

// sum asks for an equation.
func sum(s *source) Exchange {
	o := equation(s)
	return Exchange{fmt.Sprintf(pick(s, []string{"What is %d %c %d?", "How much is %d %c %d?"}), o.A, o.Sign, o.B), o.String(), fmt.Sprint(o.C)}
}
