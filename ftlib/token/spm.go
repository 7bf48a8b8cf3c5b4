package token

import "errors"

func parseSentencePiece(data []byte, s side) (*Tokenizer, error) {
	return nil, errors.New("tokenizer.model is not read yet")
}
