// Command cell copies rows from one data file to another: the smallest program that reads
// and writes parquet as a cell does. Tests build it with the flags of cells, so that what it
// links, and what it lets the ft program do, is what cells link and let it do.
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
