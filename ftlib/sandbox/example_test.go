package sandbox_test

import (
	"context"
	"fmt"

	"ftlab/ftlib/sandbox"
)

// What comes back depends on the machine: where namespaces are not permitted err says
// so, and nothing runs.
func ExampleJudge() {
	v, err := sandbox.Judge(context.Background(), "def add(a, b): return a - b",
		sandbox.Tests{Check: "assert add(1, 2) == 3"}, sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Passed, v.Outcome)
}
