package main

import "fmt"

// qlora trains the conversations of the SFT run with the base in full and in four bits
// (NF4, double quantization), everything else alike: the loss must hardly differ.
func (l *lab) qlora() ([]row, error) {
	run, err := l.spec("sft")
	if err != nil {
		return nil, err
	}
	run.Save.Merged = false
	run.Name = "qlora-full"
	full, err := l.train(run)
	if err != nil {
		return nil, err
	}
	run.Name = "qlora-nf4"
	run.Model.Load4Bit, run.Model.DoubleQuant = true, true
	packed, err := l.train(run)
	if err != nil {
		return nil, err
	}
	a, b := full.Eval["eval_loss"], packed.Eval["eval_loss"]
	return rewardRow("sft", "validation loss, base in full and in NF4", a, b,
		fmt.Sprintf("%+.2f %% of the loss; %.0f s in full", 100*(b/a-1), full.Seconds), packed.Seconds), nil
}
