// Command cell copies rows from one file to another. Tests build it as cells are built.
package main

import (
	"fmt"
	"os"

	"ftlab/ftlib/corpus"
)

func main() {
	if err := corpus.WriteRows(os.Args[2], corpus.Open(os.Args[1], corpus.OpenOptions{})); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
