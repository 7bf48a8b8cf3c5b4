// Package loss is the mathematics of the methods, in float64 and without a model: from
// log-probabilities, rewards and values to a loss and to its slope, the derivative by
// each of them.
//
//	r, err := loss.DPO{Beta: 0.1}.Loss(pairs) // r.Sum / r.Units is the mean loss
//	r.Slope[i][t]                             // d r.Sum / d log p of token t of row i
//
// That is all an engine needs: it multiplies the slope of a token with the gradient of
// its log-probability. One forward pass gives the log-probabilities, one head pass with
// the slopes as weights starts the backward pass, and every method shares both.
//
// A loss is a sum over units (pairs, sequences or tokens, as the method's paper has it)
// and their number: a step that accumulates several batches divides the sum of sums by the
// sum of units, so that 8 batches of 1 train what 1 batch of 8 does.
//
// Names and formulas are those of TRL 1.16 (PPO and PRM: 1.12), and the golden cases of
// folder testdata/losses are its numbers. Where it has a defect, the doc comment names it
// and ours does what the paper says.
package loss
