package verify_test

import (
	"fmt"

	"ftlab/ftlib/verify"
)

func ExampleCheck() {
	r := verify.Check(verify.GSM8K, "#### 72", "48/2 = 24, and 48+24 = 72.\nA: $72.00")
	fmt.Println(r.Correct, r.Extracted)
	r = verify.Check(verify.Math, `\frac{\sqrt{2}}{2}`, `Therefore it is \boxed{\dfrac{1}{\sqrt2}}.`)
	fmt.Println(r.Correct, r.Extracted)
	// Output:
	// true $72.00
	// true \dfrac{1}{\sqrt2}
}

func ExampleEqual() {
	fmt.Println(verify.Equal(`(-\infty,2)\cup(3,\infty)`, `x<2 or x>3`))
	fmt.Println(verify.Equal("[0,1)", "[0,1]"))
	// Output:
	// true
	// false
}
