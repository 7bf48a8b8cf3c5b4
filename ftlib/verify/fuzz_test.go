package verify_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"ftlab/ftlib/verify"
)

// Hostile answers end, whatever they hold. (How long they take is bounded by sizes,
// not by a clock; see maxAnswer, maxNodes, maxNesting, maxBits.)
func TestHostile(t *testing.T) {
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(end, n) }
	for _, s := range []string{
		deep("(", ")", 1e5), deep("{", "}", 900), deep("[", "]", 900), deep(`\{`, `\}`, 700), deep(`\sqrt{`, "}", 500), deep(`\frac{1}{`, "}", 400),
		deep("(1,", ")", 800), deep("|", "|", 900), deep("-", "", 3000), deep(`\text{`, "}", 500), deep(`\boxed{`, "}", 1e4),
		"9^9^9^9^9^9", "10^{10^{10}}", "2^{-99999999999}", "99999999!", "400!!!!!!", "1e999999999", "1E-999999999", "0^{-1}", "1/0", `\frac00`, `\sqrt[0]{2}`, `\sqrt[`, `\binom{1000000000}{500000000}`,
		strings.Repeat("1,", 2000), strings.Repeat("x=", 1500), strings.Repeat("9", 4000), strings.Repeat("9", 1e6), strings.Repeat(`\boxed{`, 1e5), strings.Repeat("answer is ", 1e5),
		strings.Repeat("$", 1e5), strings.Repeat(`\[`, 1e5), strings.Repeat("x^", 2000) + "x", strings.Repeat("(x+1)^9", 500), strings.Repeat("ab ", 1300), `\begin{pmatrix}` + strings.Repeat(`1&2\\`, 700) + `\end{pmatrix}`,
		"\xff\xfe", "\x00", "\uE000", `\`, `\\`, "^", "_", "x_", "x_{", `\sin^`, `\log_`, "±", "±±±±±±", "∓1", "0.\\overline{", "1_2_3", "1_{0}", "1_{99}", "<", "=", "x=", "=x", ",", ";", ":", "{|}", `\{|\}`, "and", " and and ", "(,)", "[,)",
	} {
		for _, kind := range []verify.Kind{verify.GSM8K, verify.Math, verify.Numeric} {
			verify.Check(kind, s, s)
			verify.Check(kind, "42", s)
			verify.Check(kind, s, "42")
			verify.Check(kind, s+" ", "#### "+s+"1")
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, p := range append(append([][2]string{}, equalPairs...), differentPairs...) {
		f.Add(p[0], p[1])
	}
	f.Add("#### 5", "The answer is \\boxed{5}. <<1+1=2>>2\nA: 5")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, kind := range []verify.Kind{verify.GSM8K, verify.Math, verify.Numeric} {
			if r := verify.Check(kind, a, b); r.Correct && !r.Found {
				t.Fatalf("%s: right without an answer", kind)
			}
		}
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		if trimmed := strings.TrimSpace(a); trimmed != "" && !verify.Equal(a, a) {
			t.Fatalf("%q is not equal to itself", a)
		}
	})
}
