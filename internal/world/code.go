package world

import (
	"fmt"
	"strings"
)

// Test is one check of a function: the Go expression Call must print as Want
// under the verb %#v.
type Test struct {
	Call string `parquet:"call" json:"call"`
	Want string `parquet:"want" json:"want"`
}

// Program is a task for a small Go function named f, one right answer, and tests
// that tell right answers from wrong ones. It needs no imports.
type Program struct {
	Problem, Reasoning, Code string
	Tests                    []Test
}

// body is a program before its tests: run computes what the code computes.
type body struct {
	params, result string // as Go source
	task, reason   string
	lines          []string
	run            func(args ...any) any
	args           func(s *source) []any // of one test
}

var families = []struct {
	share float64
	make  func(*source) body
}{
	{6, chain}, {1, choose}, {1, divisible}, {1.5, count}, {1.5, total}, {1, bounds}, {1, multiples}, {1, mapped}, {1.5, letters}, {1, repeat},
}

// program writes one.
func program(s *source) Program {
	shares := make([]float64, len(families))
	for i, f := range families {
		shares[i] = f.share
	}
	b := families[s.share(shares)].make(s)
	head := fmt.Sprintf("f(%s) %s", b.params, b.result)
	p := Program{
		Problem:   fmt.Sprintf("Write a Go function %s that %s.", head, b.task),
		Reasoning: b.reason,
		Code:      "func " + head + " {\n\t" + strings.Join(b.lines, "\n\t") + "\n}",
	}
	// Four different calls with at least two different results: a function that
	// returns a constant must not pass.
	seen, wants := map[string]bool{}, map[string]bool{}
	for len(p.Tests) < 4 {
		args := b.args(s)
		text := make([]string, len(args))
		for i, a := range args {
			text[i] = fmt.Sprintf("%#v", a)
		}
		call := "f(" + strings.Join(text, ", ") + ")"
		want := fmt.Sprintf("%#v", b.run(args...))
		if seen[call] || len(p.Tests) == 3 && len(wants) == 1 && wants[want] {
			continue
		}
		seen[call], wants[want] = true, true
		p.Tests = append(p.Tests, Test{call, want})
	}
	return p
}

func oneInt(s *source) []any { return []any{s.between(0, 30)} }

func oneList(s *source) []any {
	list := make([]int, s.between(2, 6))
	for i := range list {
		list[i] = s.between(0, 20)
	}
	return []any{list}
}

var words = strings.Fields("apple bean salad pepper carrot potato garden station mountain letter soldier winter rabbit parrot turtle banana tomato")

func oneWord(s *source) []any { return []any{pick(s, words)} }

// chain is one to three operations with numbers, one after another.
func chain(s *source) body {
	type op struct {
		sign byte
		k    int
	}
	ops := make([]op, s.between(1, 3))
	var task, reason []string
	expr := "x"
	for i := range ops {
		o := op{pick(s, []byte("+-*")), s.between(2, 20)}
		if o.sign == '*' {
			o.k = s.between(2, 9)
			if i > 0 && ops[i-1].sign != '*' {
				expr = "(" + expr + ")"
			}
		}
		ops[i] = o
		expr += fmt.Sprintf(" %c %d", o.sign, o.k)
		task = append(task, fmt.Sprintf(map[byte]string{'+': "adds %d", '-': "subtracts %d", '*': "multiplies by %d"}[o.sign], o.k))
		reason = append(reason, fmt.Sprintf(map[byte]string{'+': "add %d", '-': "subtract %d", '*': "multiply by %d"}[o.sign], o.k))
	}
	return body{"x int", "int", "takes x, " + strings.Join(task, " and then "),
		"Start with x, " + strings.Join(reason, ", then ") + ".", []string{"return " + expr},
		func(a ...any) any {
			x := a[0].(int)
			for _, o := range ops {
				x = compute(x, o.sign, o.k)
			}
			return x
		}, oneInt}
}

func choose(s *source) body {
	k, word, sign := s.between(2, 20)+s.extra(), "larger", ">"
	if s.chance(0.5) {
		word, sign = "smaller", "<"
	}
	return body{"a int, b int", "int", fmt.Sprintf("returns the %s of a and b, plus %d", word, k),
		fmt.Sprintf("Compare a and b, take the %s one and add %d.", word, k),
		[]string{fmt.Sprintf("if a %s b {", sign), fmt.Sprintf("\treturn a + %d", k), "}", fmt.Sprintf("return b + %d", k)},
		func(a ...any) any {
			x, y := a[0].(int), a[1].(int)
			if (x > y) == (sign == ">") {
				return x + k
			}
			return y + k
		}, func(s *source) []any { return []any{s.between(0, 30), s.between(0, 30)} }}
}

func divisible(s *source) body {
	k := s.between(2, 9)
	r := s.n(k)
	x, expr, n := "x", "x", s.extra()
	if n > 0 {
		x, expr = fmt.Sprintf("x plus %d", n), fmt.Sprintf("(x+%d)", n)
	}
	return body{"x int", "bool", fmt.Sprintf("says whether dividing %s by %d leaves %d", x, k, r),
		fmt.Sprintf("The remainder of %s and %d must be %d.", x, k, r), []string{fmt.Sprintf("return %s%%%d == %d", expr, k, r)},
		func(a ...any) any { return (a[0].(int)+n)%k == r }, oneInt}
}

// condition is a test of a number n that several families use.
func condition(s *source) (text, expr string, holds func(int) bool) {
	k := s.between(2, 18)
	switch s.n(4) {
	case 0:
		return fmt.Sprintf("greater than %d", k), fmt.Sprintf("n > %d", k), func(n int) bool { return n > k }
	case 1:
		return fmt.Sprintf("less than %d", k), fmt.Sprintf("n < %d", k), func(n int) bool { return n < k }
	case 2:
		return fmt.Sprintf("not equal to %d", k), fmt.Sprintf("n != %d", k), func(n int) bool { return n != k }
	default:
		k = 2 + k%8
		return fmt.Sprintf("divisible by %d", k), fmt.Sprintf("n%%%d == 0", k), func(n int) bool { return n%k == 0 }
	}
}

// plus writes what is added at the end, if anything.
func plus(n int) (task, reason string) {
	if n == 0 {
		return "", ""
	}
	return fmt.Sprintf(", plus %d", n), fmt.Sprintf(" Start at %d.", n)
}

func count(s *source) body {
	text, expr, holds := condition(s)
	n := s.extra()
	more, begin := plus(n)
	return body{"list []int", "int", "counts the numbers in list that are " + text + more,
		"Go through the list and add 1 for every number that is " + text + "." + begin,
		[]string{fmt.Sprintf("c := %d", n), "for _, n := range list {", "\tif " + expr + " {", "\t\tc++", "\t}", "}", "return c"},
		func(a ...any) any {
			c := n
			for _, n := range a[0].([]int) {
				if holds(n) {
					c++
				}
			}
			return c
		}, oneList}
}

func total(s *source) body {
	text, expr, holds := condition(s)
	n := s.extra()
	more, begin := plus(n)
	return body{"list []int", "int", "adds up the numbers in list that are " + text + more,
		"Go through the list and add every number that is " + text + "." + begin,
		[]string{fmt.Sprintf("t := %d", n), "for _, n := range list {", "\tif " + expr + " {", "\t\tt += n", "\t}", "}", "return t"},
		func(a ...any) any {
			t := n
			for _, n := range a[0].([]int) {
				if holds(n) {
					t += n
				}
			}
			return t
		}, oneList}
}

func bounds(s *source) body {
	low := s.between(1, 12)
	high := low + s.between(3, 15)
	return body{"x int", "int", fmt.Sprintf("returns x, but at least %d and at most %d", low, high),
		fmt.Sprintf("Below %d return %d, above %d return %d, else x.", low, low, high, high),
		[]string{fmt.Sprintf("if x < %d {", low), fmt.Sprintf("\treturn %d", low), "}", fmt.Sprintf("if x > %d {", high), fmt.Sprintf("\treturn %d", high), "}", "return x"},
		func(a ...any) any { return min(max(a[0].(int), low), high) }, oneInt}
}

func multiples(s *source) body {
	k, from, plusN := s.between(2, 9), s.between(1, 9), s.extra()
	more, begin := plus(plusN)
	return body{"x int", "int", fmt.Sprintf("adds up the numbers from %d to x that are divisible by %d", from, k) + more,
		fmt.Sprintf("Go from %d to x and add every number that %d divides.", from, k) + begin,
		[]string{fmt.Sprintf("t := %d", plusN), fmt.Sprintf("for n := %d; n <= x; n++ {", from), fmt.Sprintf("\tif n%%%d == 0 {", k), "\t\tt += n", "\t}", "}", "return t"},
		func(a ...any) any {
			t := plusN
			for n := from; n <= a[0].(int); n++ {
				if n%k == 0 {
					t += n
				}
			}
			return t
		}, oneInt}
}

func mapped(s *source) body {
	k, m := s.between(2, 9), s.between(1, 20)+s.extra()
	return body{"list []int", "[]int", fmt.Sprintf("returns a new list with every number of list multiplied by %d, plus %d", k, m),
		fmt.Sprintf("Make a new list and put n * %d + %d into it for every n.", k, m),
		[]string{"out := []int{}", "for _, n := range list {", fmt.Sprintf("\tout = append(out, n*%d+%d)", k, m), "}", "return out"},
		func(a ...any) any {
			out := []int{}
			for _, n := range a[0].([]int) {
				out = append(out, n*k+m)
			}
			return out
		}, oneList}
}

func letters(s *source) body {
	c, k := string(pick(s, []byte("aeiobnprst"))), s.between(0, 9)+s.extra()
	return body{"s string", "int", fmt.Sprintf("counts how often the letter %s is in s and adds %d", c, k),
		fmt.Sprintf("Start at %d, go through s and add 1 for every %s.", k, c),
		[]string{fmt.Sprintf("c := %d", k), "for _, r := range s {", fmt.Sprintf("\tif r == '%s' {", c), "\t\tc++", "\t}", "}", "return c"},
		func(a ...any) any { return k + strings.Count(a[0].(string), c) }, oneWord}
}

func repeat(s *source) body {
	k, between := s.between(2, 6), pick(s, []string{"-", "+", "/", ".", "_", "x"})
	end, task, reason := "", "", ""
	if n := s.extra(); n > 0 {
		end, task, reason = fmt.Sprint(n), fmt.Sprintf(" and %d at the end", n), fmt.Sprintf(" Put %d at the end.", n)
	}
	lines := []string{"out := \"\"", fmt.Sprintf("for range %d {", k), fmt.Sprintf("\tout += s + \"%s\"", between), "}", "return out"}
	if end != "" {
		lines[4] += fmt.Sprintf(" + %q", end)
	}
	return body{"s string", "string", fmt.Sprintf("returns s repeated %d times with %s after each", k, between) + task,
		fmt.Sprintf("Put s and %s together, %d times.", between, k) + reason, lines,
		func(a ...any) any { return strings.Repeat(a[0].(string)+between, k) + end }, oneWord}
}
