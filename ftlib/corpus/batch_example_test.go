package corpus_test

import (
	"fmt"

	"ftlab/ftlib/corpus"
)

func ExampleNewBatches() {
	var examples []corpus.Example
	for n := 1; n <= 5; n++ {
		ex := corpus.Example{IDs: make([]int32, n), Train: make([]bool, n)}
		for i := range ex.IDs {
			ex.IDs[i], ex.Train[i] = int32(10*n+i), true
		}
		examples = append(examples, ex)
	}
	b := corpus.NewBatches(examples, corpus.BatchOptions{Size: 1, Packing: true, MaxLength: 8, NoShuffle: true})
	for x, ok := b.Next(); ok; x, ok = b.Next() {
		fmt.Println("ids", x.IDs)
		fmt.Println("seg", x.Seg)
		fmt.Println("pos", x.Pos)
	}
	// Output:
	// ids [50 51 52 53 54 30 31 32]
	// seg [1 1 1 1 1 2 2 2]
	// pos [0 1 2 3 4 0 1 2]
	// ids [40 41 42 43 20 21 10 0]
	// seg [1 1 1 1 2 2 3 0]
	// pos [0 1 2 3 0 1 0 0]
}
