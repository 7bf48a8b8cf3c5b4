package reward_test

import (
	"context"
	"errors"
	"fmt"

	"ftlab/ftlib/reward"
	"ftlab/ftlib/verify"
)

func ExampleSet_Score() {
	set := reward.Set{
		{Name: "accuracy", Func: reward.Accuracy(verify.GSM8K)},
		{Name: "polite", Weight: 0.5, Func: func(_ context.Context, s reward.Sample) (float64, error) {
			if s.Completion == "" {
				return 0, errors.New("nothing was said")
			}
			return 1, nil
		}},
	}
	scores, err := set.Score(context.Background(), []reward.Sample{
		{Completion: "#### 4", Answer: "4"},
		{Completion: "", Answer: "4"},
	}, reward.Options{})
	fmt.Println(scores.Total, err)
	fmt.Println(scores.Failures[0])
	// Output:
	// [1.5 0] <nil>
	// reward: polite, sample 1: nothing was said
}
