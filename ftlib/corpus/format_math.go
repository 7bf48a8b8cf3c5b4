package corpus

import (
	"regexp"
	"strings"
)

// calculator matches GSM8K's annotations: <<48/2=24>>.
var calculator = regexp.MustCompile(`<<[^<>\n]*>>`)

// clean removes calculator annotations when the mapping says so.
func (in *input) clean(s string) string {
	if in.m.Calculator == "strip" {
		return calculator.ReplaceAllString(s, "")
	}
	return s
}

// makeGSM8K splits an answer at its last "#### ".
func makeGSM8K(in *input) ([]Record, *RowError) {
	problem, text := in.text("problem"), in.text("answer")
	before, after, ok := cutLast(text, "####")
	if in.err == nil && !ok {
		in.fail("answer", "no #### and result at its end")
	}
	if in.err == nil && strings.TrimSpace(after) == "" {
		in.fail("answer", "nothing after ####")
	}
	return []Record{{Problem: problem, Rationale: in.clean(strings.TrimSpace(before)), Answer: strings.TrimSpace(after)}}, in.err
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func makeMATH(in *input) ([]Record, *RowError) {
	problem, solution := in.text("problem"), in.text("solution")
	answer, ok := Boxed(solution)
	if in.err == nil && !ok {
		in.fail("solution", "no \\boxed{} result in it")
	}
	return []Record{{Problem: problem, Rationale: in.clean(solution), Answer: answer}}, in.err
}

// Boxed is the content of the last \boxed{} (or \fbox{}) of a solution, braces
// balanced; ok is false when there is none.
func Boxed(s string) (answer string, ok bool) {
	for _, mark := range []string{`\boxed`, `\fbox`} {
		for at := strings.LastIndex(s, mark); at >= 0; at = strings.LastIndex(s[:at], mark) {
			rest := strings.TrimLeft(s[at+len(mark):], " ")
			if !strings.HasPrefix(rest, "{") { // \boxed 7$ stands in a few MATH rows
				if mark == `\boxed` {
					if f := strings.FieldsFunc(rest, func(r rune) bool { return r == '$' || r == ' ' || r == '\n' }); len(f) > 0 && rest != s[at+len(mark):] {
						return strings.TrimRight(f[0], ".,"), true
					}
				}
				continue
			}
			depth := 0
			for i, r := range rest {
				switch r {
				case '{':
					depth++
				case '}':
					depth--
				}
				if depth == 0 {
					return strings.TrimSpace(rest[1:i]), true
				}
			}
		}
	}
	return "", false
}

func makeReasoning(in *input) ([]Record, *RowError) {
	rec := Record{Problem: in.text("problem"), Rationale: in.clean(in.text("reasoning")), Answer: strings.TrimSpace(in.text("answer"))}
	if before, after, ok := cutLast(rec.Answer, "####"); ok && strings.TrimSpace(before) == "" {
		rec.Answer = strings.TrimSpace(after)
	}
	if in.has("correct") {
		rec.Correct = in.truth("correct")
	}
	return []Record{rec}, in.err
}

// makeVerl reads rows of the verl project: a prompt of messages, and the ground
// truth, with or without a worked solution, under reward_model.
func makeVerl(in *input) ([]Record, *RowError) {
	prompt := in.content("problem")
	rec := Record{Prompt: prompt, Rationale: in.clean(in.optional("reasoning")), Answer: strings.TrimSpace(in.optional("answer"))}
	if boxed, ok := Boxed(rec.Rationale); ok && rec.Answer == "" {
		rec.Answer = boxed
	}
	if rec.Answer == "" {
		in.text("answer") // says what is wrong with it
	}
	for _, m := range prompt.Messages {
		if m.Role == "user" {
			rec.Problem = m.Content
		}
	}
	if in.err == nil && strings.TrimSpace(rec.Problem) == "" {
		in.fail("problem", "no user message")
	}
	if before, after, ok := cutLast(rec.Rationale, "####"); ok && strings.TrimSpace(after) == rec.Answer {
		rec.Rationale = strings.TrimSpace(before)
	}
	return []Record{rec}, in.err
}

func makeCode(in *input) ([]Record, *RowError) {
	rec := Record{Problem: in.text("problem"), Code: in.text("code"), Rationale: in.optional("reasoning"), Tests: in.any("tests"), Reward: in.number("reward")}
	return []Record{rec}, in.err
}

func makeHumanEval(in *input) ([]Record, *RowError) {
	rec := Record{Problem: in.text("prompt"), Code: in.text("code")}
	rec.Tests = map[string]any{"test": in.text("test"), "entry_point": in.text("entry_point")}
	return []Record{rec}, in.err
}
