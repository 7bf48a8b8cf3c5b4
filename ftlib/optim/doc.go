// Package optim turns gradients into weights: AdamW as torch has it and clipping by
// global norm.
//
// Hyperparameters are inputs of the compiled update, never constants: changing one
// between two steps compiles nothing.
package optim
