// Package tiny makes models/ft-tiny, the model that the project teaches with: a
// Llama of a few million weights that has read nothing but the documents of
// [ftlab/internal/world].
//
// [Spec] is every number that decides it. [Spec.WriteStart] writes a directory with
// random weights and the tokenizer; the training loop that fine-tunes everything
// else turns it into the finished model, reading [Packed] documents; [Evaluate]
// measures what it knows, and [Card] writes that down.
package tiny
