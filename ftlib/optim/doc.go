// Package optim turns gradients into weights: AdamW as torch has it, AdamW and Lion with
// state in 8 bits as bitsandbytes has them, SGD, Adafactor, clipping by global norm, and
// learning-rate schedules as transformers has them.
//
//	o, err := optim.New(b, ftlib.Optim{Optim: "paged_adamw_8bit"})
//	err = o.Step(engine, names, optim.Hyper{LR: 1e-4, Step: 1, ...}, norm, decays)
//
// Hyperparameters are inputs of the compiled update, never constants: changing one
// between two steps compiles nothing. State of a paged optimizer lies on the host and is
// on the device for as long as the weights that it belongs to are updated.
package optim
