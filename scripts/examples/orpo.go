//go:build ignore

// ORPO: the chosen answers and the preference in one loss, without a reference.
//
//	go run scripts/examples/orpo.go

package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"ftlab/ftlib"
	"ftlab/ftlib/tune"
)

func main() {
	run := ftlib.Run{Name: "orpo-go", Model: ftlib.Model{Path: "models/ft-tiny"}, Data: ftlib.Data{Train: "datasets/preferences"}, LoRA: &ftlib.LoRA{R: 8}}
	run.Method.ORPO = &ftlib.ORPO{Beta: 0.1}
	run.Batch = ftlib.Batch{Size: 16, MaxSteps: 60}
	run.Optim.LearningRate = 1e-3
	result, err := tune.Run(context.Background(), run, tune.Options{Sink: &tune.Progress{W: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Summary())
}
