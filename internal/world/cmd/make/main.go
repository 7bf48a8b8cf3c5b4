// Command make writes the data sets of the repository and their README:
//
//	go run ./internal/world/cmd/make datasets
//
// With -documents N it prints N pretraining documents as JSON strings instead.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"ftlab/internal/world"
)

func main() {
	seed := flag.Uint64("seed", world.Seed, "seed of the world")
	documents := flag.Int("documents", 0, "print so many pretraining documents, a JSON string a line, and write nothing")
	flag.Parse()
	if err := run(*seed, *documents, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(seed uint64, documents int, args []string) error {
	w := world.New(seed)
	if documents > 0 {
		out := bufio.NewWriter(os.Stdout)
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		for d := range w.Documents("pretraining", documents) {
			if err := e.Encode(d.Text); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	if len(args) != 1 {
		return fmt.Errorf("make: name one folder to write to, as in: go run ./internal/world/cmd/make datasets")
	}
	return w.WriteDatasets(args[0])
}
