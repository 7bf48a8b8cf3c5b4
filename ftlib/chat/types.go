package chat

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user", "assistant", "tool" or what the template knows
	Content string
	Train   *bool          // nil: the policy decides; else this message is, or is not, trained
	Extra   map[string]any // other keys of the message (tool_calls, name), given to the template as they are
}

// Span is a piece of rendered text with one author. The spans of a conversation
// joined are the text that the model sees.
type Span struct {
	Text  string `json:"text"`
	Role  string `json:"role"`  // of the message it renders; "" for what the template adds around messages
	Train bool   `json:"train"` // the model learns to write this
}
