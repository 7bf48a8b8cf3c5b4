// Package verify says whether a solution comes to the right answer: it finds the final
// answer of a text and compares it with the reference by what the two mean.
//
//	r := verify.Check(verify.GSM8K, "#### 72", "48/2 = 24, 48+24 = 72\n#### 72")
//	r.Correct, r.Extracted // true, "72"
//
// [Extract] finds the answer. A text may mark it: "####" (GSM8K), \boxed{} (MATH), a
// line "A: ...", "the answer is ...". Without a mark the last mathematics or the last
// number counts, except in a text with GSM8K's calculator notes (<<3+4=7>>): such
// texts end with a mark, and one that does not was cut off and has no answer.
//
// [Equal] compares two answers. Equal are, first, what Hendrycks' MATH normalisation
// makes equal as text (\dfrac as \frac, units, \left and \right, degrees, dollars and
// percent signs, "x=" in front), and beyond it what has one value: 1/2 and 0.5,
// 1{,}000 and 1000, \frac{\sqrt 8}{2} and \sqrt2, sets in any order, intervals and
// the inequalities that say the same, matrices, equations up to a factor, expressions
// that agree at random points.
//
// What differs between kinds:
//
//   - [GSM8K]: the value of one number literal, exactly. 9+9 is not 18; 18.00 is.
//   - [Numeric]: any expression that has a value, within a relative tolerance of 1e-6.
//   - [Math]: all of the above.
//
// Nothing here panics or takes long, whatever the text: nesting, exponents and sizes
// are bounded, and beyond the bounds answers are compared as text.
package verify
