package eval_test

import (
	"fmt"

	"ftlab/ftlib/eval"
)

func ExampleRight() {
	fmt.Println(eval.Right("48 / 2 = 24, and 48 + 24 = 72.\n#### 72", "#### 72"))
	fmt.Println(eval.Right("That makes $72.00 in all.", "72"))
	fmt.Println(eval.Right("The answer is 71.", "72"))
	// Output:
	// true
	// true
	// false
}
