// Package llm is the model: decoder families as data, one decoder block, one
// linear layer, adapters, weights in and out, and the block engine that trains
// them.
//
// A decoder is one block repeated. [Model] holds the weights under their Hugging
// Face names; [Engine] compiles the block's forward pass and its vector-Jacobian
// product once and drives them layer by layer, so that compile time does not grow
// with depth and only what the backward pass needs is kept. Llama, Mistral, Qwen2
// and Phi differ in fields of [Config], not in code.
//
// Activations between blocks are flat, [B*T, D]: with three-dimensional products
// the skinny gradients of adapters take XLA's slow path (measured: 1.75 times the
// time of a whole training step on a CPU). Weights stay as files have them,
// [out, in]; adapters as PEFT has them, A [r, in] and B [out, r].
//
// Functions that build graphs panic, as GoMLX's own do; everything that a user
// calls returns errors.
package llm
