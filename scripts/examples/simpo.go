//go:build ignore

// SimPO: preference by mean log-probability, with a margin and without a reference.
//
//	go run scripts/examples/simpo.go

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
	run := ftlib.Run{Name: "simpo-go", Model: ftlib.Model{Path: "models/ft-tiny"}, Data: ftlib.Data{Train: "datasets/preferences"}, LoRA: &ftlib.LoRA{R: 8}}
	alpha, gamma := 0.0, 0.5
	run.Method.CPO = &ftlib.CPO{LossType: "simpo", Beta: 2, CPOAlpha: &alpha, SimPOGamma: &gamma}
	run.Batch = ftlib.Batch{Size: 16, MaxSteps: 60}
	run.Optim.LearningRate = 1e-3
	result, err := tune.Run(context.Background(), run, tune.Options{Sink: &tune.Progress{W: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Summary())
}
