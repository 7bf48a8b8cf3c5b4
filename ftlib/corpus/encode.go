package corpus

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/token"
)

// Tokenizer is what encoding needs of a tokenizer; *token.Tokenizer is one.
type Tokenizer interface {
	// Encode gives the ids of a text, with special also what the tokenizer puts around it.
	Encode(text string, special bool) []int32
	// EncodeOffsets gives with each id its byte range, {-1, -1} for what was put around.
	EncodeOffsets(text string, special bool) ([]int32, [][2]int)
	Special() token.Special
	IsSpecial(id int32) bool
	Token(id int32) (string, bool)
	AddsBOS() bool
}

var _ Tokenizer = (*token.Tokenizer)(nil)

// EncodeOptions say how spans become tokens. The zero value cuts nothing and checks
// everything.
type EncodeOptions struct {
	MaxLength int    // tokens that are kept, from the start; 0: all
	Rendered  bool   // the spans come from a chat template, which writes its own BOS: none is added
	Unended   bool   // a trained turn may lack an end token (a text that goes on)
	File      string // of the record, for messages
	Num       int
}

// Encode turns spans into token ids and marks those that are trained.
//
// The joined text is tokenised once, so the ids are those that transformers gives for
// the same text; nothing changes at the seams between spans. A token is trained when
// any of its characters that is no white space lies in a trained span; a token of white
// space alone when any part of it does. This is transformers' rule for {% generation %}
// masks, but for one case: a token that takes only a leading space from a trained span.
//
// BOS: with Rendered nothing is added, as apply_chat_template does; otherwise the
// tokenizer's own BOS is, unless the text begins with it already.
//
// The error is a *Refusal for an example that must not be trained: nothing in it is
// trained, it begins with two BOS, or a trained turn does not end with an end token. The
// example is returned too.
func Encode(tok Tokenizer, spans []chat.Span, o EncodeOptions) (Example, error) {
	ex, _, _ := encode(tok, spans, o)
	return cut(tok, ex, o)
}

// cut checks the whole example and then takes off what is too long.
func cut(tok Tokenizer, ex Example, o EncodeOptions) (Example, error) {
	err := check(tok, ex, o)
	if o.MaxLength <= 0 || len(ex.IDs) <= o.MaxLength {
		return ex, err
	}
	lost := count(ex.Train[o.MaxLength:])
	ex.Cut = len(ex.IDs) - o.MaxLength
	ex.IDs, ex.Train = ex.IDs[:o.MaxLength:o.MaxLength], ex.Train[:o.MaxLength:o.MaxLength]
	if err == nil && lost > 0 && !trains(ex) {
		return ex, refuse(o, LabelsCut, "all %d trained tokens lie behind the first %d", lost, o.MaxLength)
	}
	return ex, err
}

// encode is Encode before checking and cutting, with the joined text and the byte range
// of every token.
func encode(tok Tokenizer, spans []chat.Span, o EncodeOptions) (Example, string, [][2]int) {
	text := chat.Text(spans)
	special := !o.Rendered
	sp := tok.Special()
	if bos, ok := tokenText(tok, sp.BOS); ok && strings.HasPrefix(text, bos) {
		special = false
	}
	ids, offs := tok.EncodeOffsets(text, special)
	// A tokenizer that adds an end token itself would double the one in the text.
	if n := len(ids); n > 1 && ids[n-1] == sp.EOS && ids[n-2] == sp.EOS && offs[n-1][0] < 0 {
		ids, offs = ids[:n-1], offs[:n-1]
	}
	ex := Example{IDs: ids, Train: make([]bool, len(ids)), File: o.File, Num: o.Num}
	var starts []int // of the spans, and the end
	at := 0
	for _, s := range spans {
		starts = append(starts, at)
		at += len(s.Text)
	}
	k := 0
	for i, r := range offs {
		if r[0] < 0 {
			continue
		}
		for k > 0 && starts[k] > r[0] {
			k--
		}
		for k+1 < len(spans) && starts[k]+len(spans[k].Text) <= r[0] {
			k++
		}
		ex.Train[i] = trained(spans, starts, k, text, r)
	}
	// An end token that the tokenizer adds behind a trained end belongs to it.
	if n := len(ids); n > 1 && offs[n-1][0] < 0 && ids[n-1] == sp.EOS && ex.Train[n-2] {
		ex.Train[n-1] = true
	}
	return ex, text, offs
}

// trained applies the rule of Encode to the bytes [r0, r1) that begin in span k.
func trained(spans []chat.Span, starts []int, k int, text string, r [2]int) bool {
	blank := strings.TrimFunc(text[r[0]:r[1]], unicode.IsSpace) == ""
	for ; k < len(spans) && starts[k] < r[1]; k++ {
		if !spans[k].Train {
			continue
		}
		from, to := max(r[0], starts[k]), min(r[1], starts[k]+len(spans[k].Text))
		if from < to && (blank || strings.TrimFunc(text[from:to], unicode.IsSpace) != "") {
			return true
		}
	}
	return false
}

func tokenText(tok Tokenizer, id int32) (string, bool) {
	if id < 0 {
		return "", false
	}
	s, ok := tok.Token(id)
	return s, ok && s != ""
}

// EOSText is the end token of a tokenizer as text, "" when it has none.
func EOSText(tok Tokenizer) string {
	s, _ := tokenText(tok, tok.Special().EOS)
	return s
}

func count(train []bool) int {
	n := 0
	for _, t := range train {
		if t {
			n++
		}
	}
	return n
}

// trains says whether anything is learned from the example: the first token has
// nothing before it and is never a target.
func trains(ex Example) bool { return len(ex.Train) > 1 && count(ex.Train[1:]) > 0 }

// check looks for what makes a model worse without anybody noticing.
func check(tok Tokenizer, ex Example, o EncodeOptions) error {
	sp := tok.Special()
	if len(ex.IDs) > 1 && sp.BOS >= 0 && ex.IDs[0] == sp.BOS && ex.IDs[1] == sp.BOS {
		bos, _ := tok.Token(sp.BOS)
		return refuse(o, DoubleBOS, "begins with %s twice", bos)
	}
	if !trains(ex) {
		return refuse(o, NothingTrained, "none of its %d tokens is trained", len(ex.IDs))
	}
	if o.Unended {
		return nil
	}
	for i := len(ex.Train) - 1; i >= 0; i-- {
		if !ex.Train[i] || i+1 < len(ex.Train) && ex.Train[i+1] {
			continue
		}
		end := i // of a trained turn; white space after its end token does not count
		for end > 0 && ex.Train[end-1] && blankToken(tok, ex.IDs[end]) {
			end--
		}
		id := ex.IDs[end]
		if id != sp.EOS && !tok.IsSpecial(id) {
			last, _ := tok.Token(ex.IDs[end])
			return refuse(o, MissingEOS, "a trained turn ends with %q (token %d), which is no end token", last, end)
		}
	}
	return nil
}

// blankToken says that a token is white space alone, in any of the ways that
// vocabularies write it.
func blankToken(tok Tokenizer, id int32) bool {
	s, ok := tok.Token(id)
	if !ok || tok.IsSpecial(id) {
		return false
	}
	for i := 0; i < len(s); {
		if strings.HasPrefix(s[i:], "<0x0A>") {
			i += len("<0x0A>")
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if !unicode.IsSpace(r) && r != '▁' && r != 'Ġ' && r != 'Ċ' && r != 'ĉ' && r != 'č' {
			return false
		}
		i += n
	}
	return true
}

// EncodeRecord is Spans and Encode of one record, each with the settings that go with
// its kind. A conversation that the template refuses is a *Refusal.
func EncodeRecord(tok Tokenizer, r Record, tmpl *chat.Template, so SpanOptions, eo EncodeOptions) (Example, error) {
	spans, eo, err := prepare(tok, r, tmpl, so, eo)
	if err != nil {
		return Example{File: r.File, Num: r.Num}, err
	}
	return Encode(tok, spans, eo)
}

// prepare renders a record and sets the encoding options that follow from it.
func prepare(tok Tokenizer, r Record, tmpl *chat.Template, so SpanOptions, eo EncodeOptions) ([]chat.Span, EncodeOptions, error) {
	eo.File, eo.Num = r.File, r.Num
	if so.EOS == "" {
		so.EOS = EOSText(tok)
	}
	eo.Rendered = rendered(r, tmpl, so)
	spans, err := Spans(r, tmpl, so)
	if e, ok := errors.AsType[*chat.Error](err); ok {
		return nil, eo, &Refusal{r.File, r.Num, TemplateRefused, e.Error(), hints[TemplateRefused]}
	}
	return spans, eo, err
}

// EncodePrompt gives the tokens that a model is asked with, as training writes what stands
// before an answer: BOS, the template's header of the answer, or what Prompt says. A record
// without a prompt is a *Refusal.
func EncodePrompt(tok Tokenizer, r Record, tmpl *chat.Template, so SpanOptions, eo EncodeOptions) (ids []int32, text string, err error) {
	answer := Content{Text: "x"} // stands for the answer, before which the prompt ends
	switch r.Kind {
	case KindText:
		return nil, "", &Refusal{r.File, r.Num, NothingTrained, "plain text asks nothing", "give rows with prompts"}
	case KindPrompt, KindUnpaired, KindRanking, KindPreference:
		r.Kind, r.Completion = KindCompletion, answer
		if r.Prompt.Messages != nil {
			r.Completion = Content{Messages: []chat.Message{{Role: "assistant", Content: "x"}}}
		}
	case KindReasoning:
		r.Rationale, r.Answer = "x", ""
		so.Answer = ""
	case KindSteps:
		r.Steps = []Step{{Text: "x"}}
		r.Answer, so.Answer = "", ""
	case KindCode:
		r.Rationale, r.Code = "", "x"
	}
	so.TrainOn = ""
	if r.Kind == KindChat {
		so.TrainOn = chat.TrainLast
	}
	spans, eo, err := prepare(tok, r, tmpl, so, eo)
	if err != nil {
		return nil, "", err
	}
	from := 0
	for i, s := range spans {
		if s.Train {
			from = i
		}
	}
	for from > 0 && spans[from-1].Train {
		from--
	}
	ex, text, _ := encode(tok, spans[:from], eo)
	if n := len(ex.IDs); n > 0 && ex.IDs[n-1] == tok.Special().EOS && tok.Special().EOS >= 0 && !strings.HasSuffix(text, EOSText(tok)) {
		ex.IDs = ex.IDs[:n-1] // put behind every text by the tokenizer: the answer is still to come
	}
	return ex.IDs, text, nil
}
