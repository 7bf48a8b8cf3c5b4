// Command make writes the notebooks of the course, notebooks/*.ipynb, from their sources in
// notebooks/source; arguments name some of them. Outputs stay where the cells are the same.
// Package course says how a source is written; scripts/notebooks also executes what is written.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"ftlab/internal/course"
	"ftlab/internal/testkit"
)

func main() {
	if err := course.Make(filepath.Join(testkit.Root(), "notebooks"), os.Args[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
