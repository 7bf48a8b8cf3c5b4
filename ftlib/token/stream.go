package token

// Stream decodes ids one at a time.
type Stream struct {
	t           *Tokenizer
	flow        *flow
	skipSpecial bool
}

// NewStream begins a text. The strings that Add and Flush return, one after the
// other, are exactly what Decode makes of all the ids: a string never holds half a
// character, and what later ids could still change is held back. Byte tokens of a
// SentencePiece vocabulary are therefore held back to the end of their run, since
// one byte that does not fit turns the whole run into U+FFFD.
func (t *Tokenizer) NewStream() *Stream {
	return &Stream{t: t, flow: newFlow(t.decoder())}
}

// SkipSpecial leaves special tokens out, as Decode can. It returns the stream.
func (s *Stream) SkipSpecial() *Stream {
	s.skipSpecial = true
	return s
}

// Add takes one more id and returns the text that it completes, often "".
func (s *Stream) Add(id int32) string {
	if form, ok := s.t.visible(id, s.skipSpecial); ok {
		s.flow.add(form)
	}
	return s.flow.take()
}

// Flush ends the text and returns what was held back. The stream can then begin a
// new text.
func (s *Stream) Flush() string {
	s.flow.finish()
	out := s.flow.take()
	s.flow = newFlow(s.t.decoder())
	return out
}
