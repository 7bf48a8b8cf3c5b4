// Package export writes a model, with its adapter folded in, for other programs: a
// directory of safetensors in shards, a GGUF file for llama.cpp, or that with a Modelfile
// for Ollama. What was written is read back and compared by its logits, and carries a
// receipt that says what it was made from and can be checked later.
//
// Nothing is overwritten, and nothing is there until everything is.
package export
