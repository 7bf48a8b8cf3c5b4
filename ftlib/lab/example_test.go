package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ftlab/ftlib"
	"ftlab/ftlib/lab"
	"ftlab/ftlib/llm"
)

// An adapter that one cell has made is there for the next.
func Example() {
	m, err := lab.Model("ft-tiny")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := m.NewAdapter(ftlib.LoRA{R: 8}, 1); err != nil {
		fmt.Println(err)
		return
	}
	if err := lab.Keep("mine", m); err != nil {
		fmt.Println(err)
		return
	}

	again, err := lab.Model("mine") // in a later cell
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := llm.NewGenerator(again, llm.GeneratorOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()
	out, err := g.Generate(context.Background(), [][]int32{{1, 20, 30}}, llm.Sampling{MaxNew: 4})
	fmt.Println(again.Adapter().Spec.R, len(out[0].IDs) > 0, err)
	// Output: 8 true <nil>
}

func ExampleDrop() {
	fmt.Println(errors.Is(lab.Drop("never-kept"), lab.ErrNotResident))
	// Output: true
}

// A file that is not there is told with the choices that there are.
func ExampleLoad() {
	_, err := lab.Load("no-such-model")
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output: true
}
