package corpus

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TextFault is a sign that text went through a wrong encoding or was not cleaned.
type TextFault string

const (
	FaultReplacement TextFault = "replacement characters" // U+FFFD: bytes were lost
	FaultMojibake    TextFault = "mojibake"               // UTF-8 read as another encoding: "Ã©", "â€™"
	FaultControl     TextFault = "control characters"     // other than tab and line breaks
	FaultBOM         TextFault = "byte order mark"        // U+FEFF inside the text
	FaultInvisible   TextFault = "invisible characters"   // zero-width and direction marks
	FaultEntities    TextFault = "HTML entities"          // &amp; &quot; &#39;
)

// mojibake are the beginnings of two- and three-byte UTF-8 sequences read as
// Windows-1252 or Latin-1.
var mojibake = []string{"â€™", "â€œ", "â€\u009d", "â€“", "â€”", "â€¦", "â€˜", "â€¢", "â‚¬", "Ã©", "Ã¨", "Ã¼", "Ã¶", "Ã¤", "Ã±", "Ã¡", "Ã³", "Ãº", "Ã\u00ad", "Ã§", "ÃŸ", "Ã ", "Ãª", "Ã´", "Ã®", "Â£", "Â°", "Â»", "Â«", "Â\u00a0", "ï»¿", "ðŸ", "Ð°", "Ñ€", "ã€"}

var entities = []string{"&amp;", "&quot;", "&lt;", "&gt;", "&nbsp;", "&#39;", "&#x27;", "&apos;"}

// TextFaults lists what is suspicious in a text.
func TextFaults(s string) []TextFault {
	var out []TextFault
	add := func(f TextFault) {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	ascii := true
	for _, r := range s {
		switch {
		case r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f || r >= 0x80 && r < 0xa0:
			add(FaultControl)
		case r == utf8.RuneError:
			add(FaultReplacement)
		case r == 0xfeff:
			add(FaultBOM)
		case r == 0x200b || r == 0x2060 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			add(FaultInvisible)
		}
		ascii = ascii && r < utf8.RuneSelf
	}
	if !ascii && slices.ContainsFunc(mojibake, func(m string) bool { return strings.Contains(s, m) }) {
		add(FaultMojibake)
	}
	if strings.Contains(s, "&") && slices.ContainsFunc(entities, func(e string) bool { return strings.Contains(s, e) }) {
		add(FaultEntities)
	}
	return out
}

// texts are the pieces of text of a record.
func (r Record) texts() []string {
	out := []string{r.Text, r.Problem, r.Rationale, r.Answer, r.Code}
	for _, m := range r.Messages {
		out = append(out, m.Content)
	}
	for _, c := range []Content{r.Prompt, r.Completion, r.Chosen, r.Rejected} {
		out = append(out, c.Text)
		for _, m := range c.Messages {
			out = append(out, m.Content)
		}
	}
	for _, s := range r.Steps {
		out = append(out, s.Text)
	}
	for _, p := range r.Responses {
		out = append(out, p.Text)
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// whole is the record as one text, for lengths and duplicates.
func (r Record) whole() string { return strings.Join(r.texts(), "\n") }

// CountWords counts runs of letters and digits, and single characters of scripts
// without spaces.
func CountWords(s string) int {
	n, in := 0, false
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && (r == ' ' || r == '\n' || r == '\t'):
			in = false
		case r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			n, in = n+1, false
		case unicode.IsSpace(r):
			in = false
		case !in:
			n, in = n+1, true
		}
	}
	return n
}

// Length is the length of the record as count measures it: of the longer answer
// where there are two.
func (r Record) Length(count func(string) int) int {
	n := 0
	switch r.Kind {
	case KindPreference:
		return count(r.Prompt.Plain()) + max(count(r.Chosen.Plain()), count(r.Rejected.Plain()))
	case KindRanking:
		for _, p := range r.Responses {
			n = max(n, count(p.Text))
		}
		return n + count(r.Prompt.Plain())
	case KindReasoning, KindCode, KindSteps:
		return count(r.ask().Plain()) + count(r.Solution())
	}
	for _, s := range r.texts() {
		n += count(s)
	}
	return n
}
