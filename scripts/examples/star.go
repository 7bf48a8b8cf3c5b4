//go:build ignore

// STaR: the model learns from those of its own solutions that reach the answer.
//
//	go run scripts/examples/star.go

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
	run := ftlib.Run{Name: "star-go", Model: ftlib.Model{Path: "models/ft-tiny"}, Data: ftlib.Data{Train: "datasets/math", Prompt: "Problem: {prompt}\nSolution:"}, LoRA: &ftlib.LoRA{R: 16}}
	run.Method.STaR = &ftlib.STaR{Rounds: 3, Problems: 400, Hint: "\nHint: {answer}", Rollout: ftlib.Rollout{MaxLength: 40}}
	run.Batch.Size, run.Eval.Every = 16, 1000
	run.Optim.LearningRate, run.Optim.Schedule = 1e-3, "constant"
	result, err := tune.Run(context.Background(), run, tune.Options{Sink: &tune.Progress{W: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Summary())
}
