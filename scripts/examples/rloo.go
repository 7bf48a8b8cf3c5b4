//go:build ignore

// RLOO: REINFORCE against the mean reward of the other answers.
//
//	go run scripts/examples/rloo.go

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
	run := ftlib.Run{Name: "rloo-go", Model: ftlib.Model{Path: "models/ft-tiny"}, Data: ftlib.Data{Train: "datasets/math", Prompt: "Problem: {prompt}\nSolution:"}, LoRA: &ftlib.LoRA{R: 8}}
	run.Method.RLOO = &ftlib.RLOO{Generations: 4, Rollout: ftlib.Rollout{MaxLength: 40, Rewards: []ftlib.RewardFunc{{Use: "accuracy", Kind: "numeric"}}}}
	run.Batch = ftlib.Batch{Size: 64, MaxSteps: 60}
	run.Optim.LearningRate, run.Optim.Schedule = 1e-3, "constant"
	result, err := tune.Run(context.Background(), run, tune.Options{Sink: &tune.Progress{W: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Summary())
}
