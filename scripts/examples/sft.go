//go:build ignore

// Supervised fine-tuning on conversations, answers only.
//
//	go run scripts/examples/sft.go

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
	run := ftlib.Run{Name: "sft-go", Model: ftlib.Model{Path: "models/ft-tiny"}, Data: ftlib.Data{Train: "datasets/chat"}, LoRA: &ftlib.LoRA{R: 16}}
	run.Batch = ftlib.Batch{Size: 16, MaxSteps: 120}
	run.Optim.LearningRate, run.Optim.Schedule, run.Save.Merged = 2e-3, "cosine", true
	result, err := tune.Run(context.Background(), run, tune.Options{Sink: &tune.Progress{W: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Summary())
}
