package chat

import "time"

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user", "assistant", "tool" or what the template knows
	Content string
	Train   *bool          // nil: the policy decides; else this message is, or is not, trained
	Extra   map[string]any // other keys of the message (tool_calls, name), given to the template as they are; a "content" here (a list of parts) takes the place of Content

	keys []string // order and presence of the keys, when read from JSON; nil: role, content, the others sorted
}

// Span is a piece of rendered text with one author. The spans of a conversation
// joined are the text that the model sees.
type Span struct {
	Text  string `json:"text"`
	Role  string `json:"role"`  // of the message it renders; "" for what the template adds around messages
	Train bool   `json:"train"` // the model learns to write this
}

// Policy says which messages are trained.
type Policy string

const (
	TrainAssistant  Policy = "assistant"  // every assistant message; also the zero Policy
	TrainCompletion Policy = "completion" // assistant messages from RenderOptions.PromptLen on
	TrainLast       Policy = "last"       // the last assistant message
	TrainAll        Policy = "all"        // the whole text, headers and users too
	TrainNone       Policy = "none"       // nothing, but for messages that say so themselves
)

// Options of a template.
type Options struct {
	Name     string            // for messages and records; empty: "template"
	BOS, EOS string            // what bos_token and eos_token stand for; empty: undefined in the template, as with transformers
	Tokens   map[string]string // further names: pad_token, unk_token, ...; also bos_token or eos_token to define them as the empty text
	All      bool              // for With: these are all the tokens there are; an empty one takes away what was there
	Now      time.Time         // what strftime_now sees; zero: the clock, at each rendering
}

// RenderOptions of one conversation. The zero value renders a training text.
type RenderOptions struct {
	AddGenerationPrompt bool           // end with the header of an assistant's answer
	Tools               []any          // JSON schemas of tools (map[string]any or Object); nil: none
	Documents           []any          // documents for retrieval templates; nil: none
	Extra               map[string]any // further variables of the template
	Now                 time.Time      // zero: Options.Now
	TrainOn             Policy         // zero: TrainAssistant
	PromptLen           int            // with TrainCompletion: how many messages are the prompt; 0: all before the last
}

// Text joins spans.
func Text(spans []Span) string {
	n := 0
	for _, s := range spans {
		n += len(s.Text)
	}
	b := make([]byte, 0, n)
	for _, s := range spans {
		b = append(b, s.Text...)
	}
	return string(b)
}
