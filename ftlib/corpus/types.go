package corpus

import "ftlab/ftlib/chat"

// Row is one record of a data file as it stands there. Values hold nil, bool,
// int64, float64, string, []byte, []any and map[string]any, nested as in the file.
type Row struct {
	File    string // path as given
	Num     int    // from 1: the row of a parquet file, the line of a jsonl file, the record of a csv file
	Columns []string
	Values  map[string]any
}

// Kind is what a row is used for.
type Kind string

const (
	KindText       Kind = "text"              // Text
	KindChat       Kind = "chat"              // Messages
	KindCompletion Kind = "prompt-completion" // Prompt, Completion
	KindPreference Kind = "preference"        // Prompt, Chosen, Rejected
	KindRanking    Kind = "ranking"           // Prompt, Responses
	KindUnpaired   Kind = "unpaired"          // Prompt, Completion, Label
	KindReasoning  Kind = "reasoning"         // Problem, Rationale, Answer, Correct
	KindCode       Kind = "code"              // Problem, Rationale, Code, Tests
	KindSteps      Kind = "steps"             // Problem, Steps, Answer
	KindPrompt     Kind = "prompt"            // Prompt only
)

// Content is either plain text or chat messages.
type Content struct {
	Text     string
	Messages []chat.Message // nil: Text is meant
}

// Step is one step of a worked solution with its label.
type Step struct {
	Text   string
	Reward float64 // 1 right, 0 (or -1) wrong, or a probability
}

// Response is one ranked answer; rank 1 is best.
type Response struct {
	Text string
	Rank float64
}

// Record is a row whose meaning is known; Kind says which fields are set.
type Record struct {
	Kind       Kind
	File       string
	Num        int
	Text       string
	Messages   []chat.Message
	Prompt     Content
	Completion Content
	Chosen     Content
	Rejected   Content
	Margin     *float64
	Label      *bool
	Responses  []Response
	Problem    string
	Rationale  string
	Answer     string
	Correct    *bool
	Code       string
	Tests      any
	Reward     *float64
	Steps      []Step
}

// Example is a token sequence with the tokens that are trained.
type Example struct {
	IDs   []int32
	Train []bool // [len(IDs)]: this token is a target
	File  string
	Num   int
	Cut   int // tokens that did not fit in the maximum length
}

// Batch is a group of sequences of one length. Arrays are row-major [B, T].
// A position t is trained when Mask[t] is 1: the model then learns to predict IDs[t]
// from what stands before it in the same segment. The first token of a segment
// is never trained.
type Batch struct {
	B, T int
	IDs  []int32   // [B, T]; padding is 0
	Mask []float32 // [B, T] weight of token t as a target
	Pos  []int32   // [B, T] position inside its own segment
	Seg  []int32   // [B, T] segment number from 1; 0 is padding. Attention never crosses segments
	Rows []int     // indices of the examples inside, in order
}

// Tokens is the number of real tokens, trained or not.
func (b *Batch) Tokens() int {
	n := 0
	for _, s := range b.Seg {
		if s != 0 {
			n++
		}
	}
	return n
}

// Trained is the sum of the mask.
func (b *Batch) Trained() float64 {
	n := 0.0
	for _, m := range b.Mask {
		n += float64(m)
	}
	return n
}
