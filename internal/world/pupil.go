package world

// Pupil is a way to solve word problems, right or wrong.
type Pupil int

const (
	Careful   Pupil = iota // makes every step
	Adder                  // adds, whatever happened
	Skipper                // forgets the last step; misreads a number where there is only one step
	Misreader              // takes one number for another
	Slipper                // computes one step wrong and goes on from there
)

// Class is a share of each kind of pupil.
type Class []struct {
	Pupil Pupil
	Share float64
}

// Pretraining has so many adders that they are the rule: a model that has learnt from
// this class adds at a minus, and yet has seen one in eight do it right. Only
// here does the model's weakness come from.
var Pretraining = Class{{Careful, 12}, {Adder, 63}, {Skipper, 15}, {Misreader, 10}}

// Marked is the class whose work is in the steps data set: about as many steps
// are right as wrong, and each mistake is there often enough to be learnt.
var Marked = Class{{Careful, 34}, {Adder, 24}, {Skipper, 12}, {Misreader, 15}, {Slipper, 15}}

func (c Class) draw(s *source) Pupil {
	w := make([]float64, len(c))
	for i, p := range c {
		w[i] = p.Share
	}
	return c[s.share(w)].Pupil
}

// solve is this pupil's solution. It may happen to be right.
func (p Pupil) solve(s *source, q Problem) Solution {
	if p == Skipper && len(q.Steps) == 1 {
		p = Misreader
	}
	if p == Skipper {
		steps := q.Steps[:len(q.Steps)-1]
		return Solution{steps, steps[len(steps)-1].C}
	}
	var out Solution
	current, wrong := q.Steps[0].A, s.n(len(q.Steps))
	for i, o := range q.Steps {
		sign, b := o.Sign, o.B
		if p == Adder {
			sign = '+'
		}
		if p == Misreader && i == wrong {
			for b == o.B {
				b = s.between(2, 15)
			}
		}
		if sign == '-' && b > current { // nobody writes a negative number down
			b = current
		}
		c := compute(current, sign, b)
		if p == Slipper && i == wrong {
			if d := pick(s, []int{-10, -2, -1, 1, 2, 10}); c+d >= 0 {
				c += d
			} else {
				c -= d
			}
		}
		out.Steps = append(out.Steps, Op{current, sign, b, c})
		current = c
	}
	out.Answer = current
	return out
}

// Marks says of every step of a solution, and of its answer at the end, whether
// all is right so far.
func (q Problem) Marks(s Solution) []bool {
	marks, right := make([]bool, 0, len(s.Steps)+1), true
	for i, o := range s.Steps {
		right = right && i < len(q.Steps) && o == q.Steps[i]
		marks = append(marks, right)
	}
	return append(marks, right && s.Answer == q.Answer)
}
