package llm

import (
	"strings"

	"ftlab/ftlib/token"
)

// textFlow turns tokens into text and looks for stop strings. What could become part of
// one is held back.
type textFlow struct {
	stream *token.Stream
	stops  []string
	held   string
	found  bool
}

func newTextFlow(t *token.Tokenizer, stops []string) *textFlow {
	return &textFlow{stream: t.NewStream().SkipSpecial(), stops: stops}
}

// add returns the text that one more token completes, and whether a stop string was
// found: the text then ends before it.
func (f *textFlow) add(id int32) (text string, found bool) { return f.take(f.stream.Add(id), false) }

// flush ends the text and returns what was held back.
func (f *textFlow) flush() (text string, found bool) { return f.take(f.stream.Flush(), true) }

func (f *textFlow) take(more string, last bool) (string, bool) {
	if f.found {
		return "", true
	}
	f.held += more
	first := -1
	for _, s := range f.stops {
		if i := strings.Index(f.held, s); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		f.found = true
		return f.held[:first], true
	}
	keep := 0
	if !last {
		for _, s := range f.stops {
			keep = max(keep, overlap(f.held, s))
		}
	}
	out := f.held[:len(f.held)-keep]
	f.held = f.held[len(out):]
	return out, false
}

// overlap is the length of the longest end of text that begins stop.
func overlap(text, stop string) int {
	for n := min(len(text), len(stop)-1); n > 0; n-- {
		if strings.HasSuffix(text, stop[:n]) {
			return n
		}
	}
	return 0
}
