package token

// Special holds the ids of the tokens with a meaning; -1 where there is none.
type Special struct {
	BOS, EOS, PAD, UNK int32
}
