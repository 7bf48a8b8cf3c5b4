package eval

import "ftlab/ftlib/verify"

// FinalAnswer is the answer that a solution comes to; ok says that the text marks it
// as such. See [verify.Extract].
func FinalAnswer(text string) (answer string, ok bool) {
	answer, mark := verify.Extract(verify.Math, text)
	return answer, mark.Explicit()
}

// Same reports whether two answers mean the same. See [verify.Equal].
func Same(a, b string) bool { return verify.Equal(a, b) }

// Right reports whether generated text comes to the reference answer. See
// [verify.Check].
func Right(text, reference string) bool {
	return verify.Check(verify.Math, reference, text).Correct
}
