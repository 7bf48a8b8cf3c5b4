// Package safetensors reads and writes the safetensors format: eight bytes with
// the length of a JSON header, the header, then raw little-endian tensor data.
//
// [Open] maps a file into memory, so that reading one tensor of a large file
// touches only its own pages; [OpenModel] opens a whole model, one file or many
// with an index; [Write] replaces a file atomically.
package safetensors
