// Package gguf writes and reads GGUF files (version 3), the format of llama.cpp and
// Ollama: metadata, then tensors in float32, float16, bfloat16 or in blocks of 8 or 4
// bits.
//
// [Write] replaces a file atomically and takes tensors one at a time; [Open] reads them
// back as float32. Quantised blocks are those of llama.cpp's reference functions
// (ggml-quants.c): Q8_0 and Q4_0 equal the Python package gguf bit for bit.
package gguf
