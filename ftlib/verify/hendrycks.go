package verify

import "strings"

// hendrycks is the normal form of MATH's own grader (hendrycks/math, is_equiv), step
// by step, its flaws included: "\\" between the rows of a matrix becomes "\". Data
// sets hold answers in this form.
func hendrycks(s string) string {
	s = strings.NewReplacer("\n", "", `\!`, "").Replace(s)
	s = strings.ReplaceAll(s, `\\`, `\`)
	s = strings.NewReplacer("tfrac", "frac", "dfrac", "frac").Replace(s)
	s = strings.NewReplacer(`\left`, "", `\right`, "").Replace(s)
	s = strings.NewReplacer(`^{\circ}`, "", `^\circ`, "").Replace(s)
	s = strings.ReplaceAll(s, `\$`, "")
	if strings.Count(s, `\text{ `) == 1 { // a unit on the right
		s, _, _ = strings.Cut(s, `\text{ `)
	}
	s = strings.NewReplacer(`\%`, "", " .", " 0.", "{.", "{0.").Replace(s)
	if strings.HasPrefix(s, ".") {
		s = "0" + s
	}
	if left, right, ok := strings.Cut(s, "="); ok && len(left) <= 2 && !strings.Contains(right, "=") {
		s = right
	}
	s = hendrycksSqrt(s)
	s = strings.ReplaceAll(s, " ", "")
	s = hendrycksFrac(s)
	if s == "0.5" {
		s = `\frac{1}{2}`
	}
	a, b, ok := strings.Cut(s, "/")
	if ok && isInteger(a) && isInteger(b) {
		s = `\frac{` + a + "}{" + b + "}"
	}
	return s
}

func isInteger(s string) bool {
	d := strings.TrimPrefix(s, "-")
	return d != "" && strings.Trim(d, "0123456789") == "" && (len(d) == 1 || d[0] != '0')
}

// hendrycksSqrt writes \sqrt3 as \sqrt{3}.
func hendrycksSqrt(s string) string {
	parts := strings.Split(s, `\sqrt`)
	for i, p := range parts {
		if i > 0 && p != "" && p[0] != '{' {
			parts[i] = "{" + p[:1] + "}" + p[1:]
		}
	}
	return strings.Join(parts, `\sqrt`)
}

// hendrycksFrac writes \frac12 as \frac{1}{2}.
func hendrycksFrac(s string) string {
	parts := strings.Split(s, `\frac`)
	for i, p := range parts {
		if i == 0 || p == "" || p[0] == '{' {
			continue
		}
		if len(p) < 2 {
			return s
		}
		if p[1] != '{' {
			parts[i] = "{" + p[:1] + "}{" + p[1:2] + "}" + p[2:]
		} else {
			parts[i] = "{" + p[:1] + "}" + p[1:]
		}
	}
	return strings.Join(parts, `\frac`)
}
