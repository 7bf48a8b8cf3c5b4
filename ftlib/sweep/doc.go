// Package sweep says WHICH runs a search over hyperparameters takes, and what came of them.
//
// A sweep is a run with some settings left open, and a way to fill them:
//
//	run: run.yaml                       # or the keys of a run, written here
//	over:
//	  optim.learning_rate: {min: 1e-5, max: 1e-3, scale: log}
//	  lora.r: [4, 8, 16]
//	search: random                      # grid, random, halving
//	trials: 12
//	metric: eval_loss
//
// Everything is decided by the file and by what the runs themselves recorded: the trials are
// a function of the specification, their order of merit one of their metrics.jsonl. There is
// no journal that could disagree, so a sweep that is killed at any moment goes on where it
// was. Successive halving is that of Jamieson and Talwalkar (2016): all trials train for a
// few steps, the best third goes on for three times as many, and so on; a trial goes on from
// its own checkpoint, along the learning-rate schedule of the whole run.
//
// Each trial is a run directory below the sweep's, and all that reads runs reads them.
package sweep
