//go:build ignore

// A process reward model: is each step of a solution right?
//
//	go run scripts/examples/prm.go

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
	run := ftlib.Run{Name: "prm-go", Model: ftlib.Model{Path: "models/ft-tiny"}, Data: ftlib.Data{Train: "datasets/steps", Prompt: "Problem: {prompt}\nSolution: "}, LoRA: nil}
	space := " "
	run.Method.PRM = &ftlib.PRM{Separator: &space}
	run.Batch = ftlib.Batch{Size: 32, MaxSteps: 400}
	run.Optim.LearningRate, run.Optim.Schedule = 1e-3, "cosine"
	result, err := tune.Run(context.Background(), run, tune.Options{Sink: &tune.Progress{W: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Summary())
}
