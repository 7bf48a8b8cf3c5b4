package optim_test

import (
	"fmt"

	"ftlab/ftlib"
	"ftlab/ftlib/optim"
)

func ExampleLearningRate() {
	o := ftlib.Optim{LearningRate: 1e-3, Schedule: "cosine", WarmupSteps: 2}
	for step := 1; step <= 6; step++ {
		fmt.Printf("%d %.2e\n", step, optim.LearningRate(o, step, 6))
	}
	// Output:
	// 1 0.00e+00
	// 2 5.00e-04
	// 3 1.00e-03
	// 4 8.54e-04
	// 5 5.00e-04
	// 6 1.46e-04
}
