// Package health says how a run does: it compares the numbers that a run reports with
// ranges that people who train models have published, and says what to change when they
// leave them.
//
//	rules, err := health.Builtin()          // or health.ReadFile("my_rules.yaml")
//	for _, f := range rules.Look(run, events) {
//		fmt.Println(f.Rule.Metric, f.State, f.Value, f.Words)
//	}
//
// The rules are data, in rules.yaml: a metric, the methods that it is for, what of it is
// looked at (its mean over the last steps, its change, how often it is zero), the healthy
// range, the range beyond which something is wrong, the words for both sides, and who
// published it. They are rules of thumb: copy the file, edit it, and give its path to
// whoever shows them.
package health
