package ckpt_test

import (
	"fmt"
	"os"
	"path/filepath"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

func Example() {
	tmp, err := os.MkdirTemp("", "ckpt")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(tmp)
	path := filepath.Join(tmp, "my-run")

	run := ftlib.Run{Model: ftlib.Model{Path: "models/tiny"}, Data: ftlib.Data{Train: "reviews.parquet"}}
	dir, err := ckpt.Create(path, run, ckpt.NewEnv())
	if err != nil {
		panic(err)
	}
	for step, loss := range []float64{3.5, 2.5, 2.75} {
		if err := dir.Event(ftlib.Event{Type: ftlib.EventStep, Step: step + 1, Loss: &loss}); err != nil {
			panic(err)
		}
		_, err := dir.Save(ckpt.Checkpoint{Step: step + 1, EvalLoss: &loss}, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "weights"), []byte("..."), 0o644)
		})
		if err != nil {
			panic(err)
		}
	}
	dir.Close()

	for _, which := range []string{"latest", "best"} {
		c, err := ckpt.Find(path, which)
		if err != nil {
			panic(err)
		}
		fmt.Println(which, filepath.Base(c.Path), *c.EvalLoss)
	}
	info, err := ckpt.Read(path)
	if err != nil {
		panic(err)
	}
	fmt.Println(info.Step, "steps,", info.Status)
	// Output:
	// latest step-3 2.75
	// best step-2 2.5
	// 3 steps, killed
}
