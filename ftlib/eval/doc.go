// Package eval measures models: the perplexity of texts, and whether answers are
// right.
//
// [Perplexity] is exp of the mean loss over trained tokens, so it depends on the
// tokenizer and on what is trained: compare it between runs on one data set only.
// [ExactMatch] compares the final answer of generated text with that of the
// reference, as package verify finds and compares them.
package eval
