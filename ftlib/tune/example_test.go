package tune_test

import (
	"context"
	"fmt"
	"math"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/tune"
)

// A coin is the smallest model there is: one logit, trained by plain gradient
// descent to say how often token 1 comes.
type coin struct{ logit, grad float64 }

func (c *coin) Accumulate(b *corpus.Batch, scale float32) (tune.Sums, error) {
	s, _ := c.Evaluate(b)
	p := 1 / (1 + math.Exp(-c.logit))
	for i, w := range b.Mask {
		c.grad += float64(scale*w) * (p - float64(b.IDs[i]))
	}
	return s, nil
}

func (c *coin) Apply(h tune.Hyper) (float64, error) {
	norm := math.Abs(c.grad)
	c.logit -= h.LR * c.grad
	c.grad = 0
	return norm, nil
}

func (c *coin) Evaluate(b *corpus.Batch) (tune.Sums, error) {
	s := tune.Sums{Tokens: b.Trained()}
	for i, w := range b.Mask {
		s.Loss += float64(w) * math.Log1p(math.Exp(c.logit*(1-2*float64(b.IDs[i]))))
	}
	return s, nil
}

func (c *coin) State() (tune.State, error) { return tune.State{}, nil }
func (c *coin) Restore(tune.State) error   { return nil }
func (c *coin) Save(string) error          { return nil }
func (c *coin) SaveMerged(string) error    { return nil }

// Anything that is a Stepper can be trained by the loop.
func ExampleLoop() {
	all := []bool{false, true, true, true, true}
	examples := []corpus.Example{{IDs: []int32{0, 1, 1, 0, 1}, Train: all}, {IDs: []int32{0, 1, 1, 1, 0}, Train: all}}
	run := ftlib.Run{Batch: ftlib.Batch{Size: 2, MaxSteps: 50}, Optim: ftlib.Optim{LearningRate: 4, Schedule: "constant"}}.Resolve()
	c := &coin{}
	loop := tune.Loop{Run: run, Stepper: c, Batches: tune.NewSource(corpus.NewBatches(examples, corpus.BatchOptions{Size: 2}))}
	result, err := loop.Train(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s after %d steps, loss %.4f -> %.4f\n", result.Status, result.Step, result.FirstLoss, result.Loss)
	fmt.Printf("p = %.2f\n", 1/(1+math.Exp(-c.logit)))
	// Output:
	// finished after 50 steps, loss 0.6931 -> 0.5623
	// p = 0.75
}
