// Package optim turns gradients into weights: AdamW as torch has it, clipping by
// global norm, and learning-rate schedules as transformers has them.
//
// Hyperparameters are inputs of the compiled update, never constants: changing one
// between two steps compiles nothing.
package optim
