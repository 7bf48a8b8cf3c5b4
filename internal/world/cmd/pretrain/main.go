// Command pretrain makes the model in models/ft-tiny:
//
//	go run ./internal/world/cmd/pretrain models/ft-tiny
//
// It writes text and random weights below -work (default runs/ft-tiny), trains there
// with the loop that everything else is trained with, writes the model as float16,
// measures it, and writes down what it measured. Started again after an interruption
// it goes on from the last checkpoint. With -measure it only measures a model that is
// there.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/tune"
	"ftlab/internal/world/tiny"
)

func main() {
	backend.HugePages()
	work := flag.String("work", filepath.Join("runs", "ft-tiny"), "folder for text, weights to begin with, and runs")
	datasets := flag.String("datasets", "datasets", "folder of the data sets, for the fine-tuning that is measured")
	note := flag.String("note", "", "said of the machine in the model's README")
	only := flag.Bool("measure", false, "measure the model that is there; train nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := errors.New("pretrain: name the folder of the model, as in: go run ./internal/world/cmd/pretrain models/ft-tiny")
	if flag.NArg() == 1 {
		err = run(ctx, flag.Arg(0), *work, *datasets, *note, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, work, datasets, note string, only bool) error {
	s := tiny.FTTiny
	var card tiny.Card
	var err error
	if only {
		card, err = s.ReadCard(dir)
	} else {
		card, err = train(ctx, s, dir, work, note)
	}
	if err != nil {
		return err
	}
	if card.HeldOut, err = s.HeldOutLoss(dir, work); err != nil {
		return err
	}
	if card.Results, err = tiny.Measure(dir, tiny.PerLength); err != nil {
		return err
	}
	if card.Lesson, err = tiny.Teach(ctx, dir, datasets, work); err != nil {
		return err
	}
	if err := card.Write(dir); err != nil {
		return err
	}
	page, err := card.Markdown()
	fmt.Printf("%s", page)
	return err
}

// train makes the model and says how that went.
func train(ctx context.Context, s tiny.Spec, dir, work, note string) (tiny.Card, error) {
	card := tiny.Card{Spec: s, Documents: s.Hash(), HeldOutDocuments: tiny.HeldOutDocuments}
	res, err := s.Train(ctx, work, &tune.Progress{W: os.Stderr})
	if err != nil {
		return card, err
	}
	if res.Status != ckpt.Finished {
		return card, errors.New("pretrain: " + res.Message + "; the same command goes on from there")
	}
	card.Machine = fmt.Sprintf("%d cores", runtime.NumCPU())
	if note != "" {
		card.Machine += ", " + note
	}
	if err := s.Publish(res.Checkpoint, work, dir); err != nil {
		return card, err
	}
	return card, history(filepath.Join(res.Dir, "metrics.jsonl"), &card)
}

// history reads from a run's metrics what the card says of it: also where the run
// was taken up again in between.
func history(path string, card *tiny.Card) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("pretrain: %w", err)
	}
	defer f.Close()
	var losses []float64
	lines := bufio.NewScanner(f)
	var before ftlib.Event
	for lines.Scan() {
		var e ftlib.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("pretrain: %s: %w", path, err)
		}
		if e.Type != ftlib.EventStart && e.Type != ftlib.EventResume {
			card.Seconds += e.Time.Sub(before.Time).Seconds()
		}
		before = e
		if e.Type == ftlib.EventStep && e.Loss != nil {
			losses = append(losses[:min(len(losses), e.Step-1)], *e.Loss) // steps are taken again after a kill
			card.Steps, card.Tokens = e.Step, e.Seen
		}
	}
	last := losses[max(0, len(losses)-50):]
	for _, l := range last {
		card.Loss += l / float64(len(last))
	}
	return lines.Err()
}
