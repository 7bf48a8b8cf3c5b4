// Package reward scores completions: with the answer that is right, with the form and
// length of a text, with code that is run, with any function.
//
//	set := reward.Set{
//		{Name: "accuracy", Func: reward.Accuracy(verify.GSM8K)},
//		{Name: "short", Weight: 0.2, Func: func(ctx context.Context, s reward.Sample) (float64, error) {
//			return 1 / float64(1+len(s.Completion)), nil
//		}},
//	}
//	scores, err := set.Score(ctx, samples, reward.Options{})
//	scores.Total[i] // the weighted sum for sample i
//
// Functions run side by side, as many as there are cores. One that panics, fails, takes
// too long or gives no finite number leaves its part of that one sample out, and the
// run goes on: [Scores.Failures] says what happened. A function that has nothing to say
// about a sample returns [None]. A sample of which no part is left has no reward: its
// total is NaN, and whoever computes advantages leaves it out of mean and deviation
// and gives it advantage 0. That is what TRL does with None.
//
// The helpers are those of TRL 1.16's trl.rewards, with its formulas: [Accuracy],
// [ReasoningAccuracy], [Cosine], [ThinkFormat], [Repetition], [SoftOverlong]; and
// [Format], [Length] and [Code]. [Spec] names them in a run file.
package reward
