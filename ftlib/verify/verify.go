package verify

import (
	"fmt"
	"math/big"
	"strings"
)

// Kind is how answers are found and compared.
type Kind string

// The kinds of answers.
const (
	GSM8K   Kind = "gsm8k"   // one number
	Math    Kind = "math"    // LaTeX, as in Hendrycks' MATH
	Numeric Kind = "numeric" // an expression with a value, within 1e-6
)

// ParseKind is the kind of that name.
func ParseKind(name string) (Kind, error) {
	switch k := Kind(name); k {
	case GSM8K, Math, Numeric:
		return k, nil
	}
	return "", fmt.Errorf("verify: unknown kind %q: gsm8k, math or numeric", name)
}

// Result is the outcome of [Check].
type Result struct {
	Correct   bool
	Extracted string // the response's final answer; "" when Found is false
	Found     bool   // the response has a final answer
}

// Check says whether the response's final answer is the reference's. The reference
// may be the answer alone, or a whole solution that marks it. An empty reference is
// never reached.
func Check(kind Kind, reference, response string) Result {
	want := reference
	if a, mark := Extract(kind, reference); mark.Explicit() || mark != None && len(reference) > bareAnswer {
		want = a
	}
	got, mark := Extract(kind, response)
	if mark == None {
		return Result{}
	}
	r := Result{Extracted: got, Found: true}
	want = strings.TrimSpace(want)
	switch {
	case want == "":
	case kind == GSM8K:
		r.Correct = sameNumber(want, got)
	default:
		r.Correct = equal(kind, want, got)
		if !r.Correct && !mark.Explicit() { // "so there are 18 of them", "18 apples in 3 bags"
			if literal := lastNumber(response); literal != "" && isNumber(want) {
				r.Correct = equal(kind, want, literal)
				if r.Correct {
					r.Extracted = literal
				}
			}
		}
	}
	return r
}

// bareAnswer is how long a reference without a mark may be and be an answer, in bytes.
// A longer one is a solution, and read as a response is.
const bareAnswer = 200

// sameNumber compares the first number of each exactly, as grade-school-math does with
// the text behind its mark; texts without any number are compared as text.
func sameNumber(want, got string) bool {
	x, y := firstNumber(want), firstNumber(got)
	if x == nil || y == nil {
		return x == nil && y == nil && plainText(want) == plainText(got)
	}
	return x.Cmp(y) == 0
}

func isNumber(s string) bool {
	a := read(s, true)
	if a.form.kind != formExpr {
		return false
	}
	_, ok := exact(a.form.expr)
	return ok
}

// firstNumber is the value of the first number literal behind the last "=" of a text;
// nil without any.
func firstNumber(s string) *big.Rat {
	s = tidyNumber(s)
	if i := strings.LastIndexByte(s, '='); i >= 0 && numberIn.MatchString(s[i:]) {
		s = s[i+1:]
	}
	return literal(numberIn.FindString(s))
}

// lastNumber is the last number literal of a text; "" without any.
func lastNumber(s string) string {
	const window = 4000 // the end is enough, and the cost stays bounded
	if len(s) > window {
		s = s[len(s)-window:]
	}
	all := numberIn.FindAllString(tidyNumber(s), -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}
