// Package recipe reads the training configurations of other tools: TRL, Axolotl and
// LLaMA-Factory, each a YAML file.
//
// An import says what became of every line of the file. A setting is kept under its own or
// another name, changed in a way that the report explains, without influence on what is
// trained (logging, kernels, caches), or lost: then the run would train something else than
// the file says, and the report says so. Nothing is dropped in silence, no key of the file
// and no default of the tool that differs from ours: those are written into the run.
package recipe
