//go:build ignore

// PPO with a reward that is a Go function: short answers that are right.
//
//	go run scripts/examples/ppo.go

package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"ftlab/ftlib"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/tune"
)

func main() {
	run := ftlib.Run{Name: "ppo-go", Model: ftlib.Model{Path: "models/ft-tiny"}, Data: ftlib.Data{Train: "datasets/math", Prompt: "Problem: {prompt}\nSolution:"}, LoRA: &ftlib.LoRA{R: 8}}
	run.Method.PPO = &ftlib.PPO{Prompts: 32, Epochs: 2, MiniBatches: 2, KLTarget: 6, Rollout: ftlib.Rollout{MaxLength: 40}}
	run.Batch.MaxSteps = 80
	run.Optim.LearningRate, run.Optim.Schedule = 1e-3, "constant"
	right := reward.Accuracy("numeric")
	short := func(ctx context.Context, s reward.Sample) (float64, error) {
		v, err := right(ctx, s)
		return v - 0.005*float64(len(s.IDs)), err
	}
	result, err := tune.Run(context.Background(), run, tune.Options{Sink: &tune.Progress{W: os.Stdout}, Rewards: map[string]reward.Func{"short": short}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Summary())
}
