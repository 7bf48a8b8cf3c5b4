// Package svd takes matrices apart into singular values, as adapters that begin with a
// part of the weights and the laboratory of ranks need them: small, in float64, and free
// of a linear algebra library, which every program that trains would link.
//
//	x = Σ S[k]·Left[k]·Right[k]ᵀ, S from the largest on
//
// [Thin] is exact, [Product] is exact and cheap for a product B·A of low rank, [Top] finds
// the first few of a large matrix by subspace iteration. All work on any shape.
package svd
