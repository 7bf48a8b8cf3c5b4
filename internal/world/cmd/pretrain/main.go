// Command pretrain makes the model in models/ft-tiny:
//
//	go run ./internal/world/cmd/pretrain models/ft-tiny
//
// It works below -work (default runs/ft-tiny); started again after an interruption
// it goes on from the last checkpoint.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/tune"
	"ftlab/internal/world/tiny"
)

func main() {
	backend.HugePages()
	work := flag.String("work", "runs/ft-tiny", "folder for the text, the weights to begin with, and the run")
	checkpoint := flag.String("publish", "", "a checkpoint to write as the model, instead of training one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *work, *checkpoint, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, work, checkpoint string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("pretrain: name the folder of the model, as in: go run ./internal/world/cmd/pretrain models/ft-tiny")
	}
	s := tiny.FTTiny
	if checkpoint != "" {
		return s.Publish(checkpoint, work, args[0])
	}
	res, err := s.Train(ctx, work, &tune.Progress{W: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Printf("%+v\n", res)
	return s.Publish(res.Checkpoint, work, args[0])
}
