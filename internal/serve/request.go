package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"

	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
)

// request is the body of a request, with OpenAI's names; top_k, min_p and
// repetition_penalty are those of other servers.
type request struct {
	Model             string          `json:"model"`
	Messages          json.RawMessage `json:"messages"`
	Prompt            json.RawMessage `json:"prompt"`
	MaxTokens         *int            `json:"max_tokens"`
	MaxCompletion     *int            `json:"max_completion_tokens"`
	Temperature       *float64        `json:"temperature"`
	TopP              *float64        `json:"top_p"`
	TopK              int             `json:"top_k"`
	MinP              float64         `json:"min_p"`
	RepetitionPenalty float64         `json:"repetition_penalty"`
	Seed              *int64          `json:"seed"`
	Stop              json.RawMessage `json:"stop"`
	Stream            bool            `json:"stream"`
	StreamOptions     struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
	Logprobs    json.RawMessage `json:"logprobs"`
	TopLogprobs int             `json:"top_logprobs"`
	N           int             `json:"n"`
	Echo        bool            `json:"echo"`
	Frequency   float64         `json:"frequency_penalty"`
	Presence    float64         `json:"presence_penalty"`
	Tools       []any           `json:"tools"`

	logprobs bool
}

// most bytes of a body.
const most = 8 << 20

func readRequest(w http.ResponseWriter, r *http.Request, isChat bool) (*request, error) {
	q := &request{}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(q); err != nil {
		return nil, fmt.Errorf("the body is not the JSON that is expected: %w", err)
	}
	if q.N == 0 {
		q.N = 1
	}
	switch string(q.Logprobs) {
	case "", "null", "false":
	case "true", "0", "1":
		q.logprobs = true
	default:
		return nil, fmt.Errorf("logprobs is %s; the log-probability of the chosen token alone is given: true in a chat, 0 or 1 in a completion", q.Logprobs)
	}
	switch {
	case q.N < 1 || q.N > 64:
		return nil, fmt.Errorf("n is %d; it is between 1 and 64", q.N)
	case q.Stream && q.N > 1:
		return nil, errors.New("a stream has n = 1")
	case q.TopLogprobs > 0:
		return nil, errors.New("top_logprobs is not supported: the log-probability of the chosen token alone is given")
	case q.Echo:
		return nil, errors.New("echo is not supported")
	case q.Frequency != 0 || q.Presence != 0:
		return nil, errors.New("frequency_penalty and presence_penalty are not supported; repetition_penalty is")
	case len(q.Tools) > 0:
		return nil, errors.New("tools are not supported")
	case isChat && len(q.Messages) == 0:
		return nil, errors.New("messages is missing")
	case !isChat && len(q.Prompt) == 0:
		return nil, errors.New("prompt is missing")
	}
	return q, nil
}

// sampling are the settings of the request with OpenAI's defaults.
func (q *request) sampling(maxTokens int) (llm.Sampling, error) {
	o := llm.Sampling{MaxNew: maxTokens, Temperature: 1, TopP: 1, TopK: q.TopK, MinP: q.MinP, RepetitionPenalty: q.RepetitionPenalty, Seed: rand.Uint64()}
	for _, n := range []*int{q.MaxTokens, q.MaxCompletion} {
		if n != nil {
			if *n < 1 {
				return o, fmt.Errorf("max_tokens is %d; it must be positive", *n)
			}
			o.MaxNew = *n
		}
	}
	if q.Temperature != nil {
		o.Temperature = *q.Temperature
	}
	if q.TopP != nil {
		o.TopP = *q.TopP
	}
	if q.Seed != nil {
		o.Seed = uint64(*q.Seed)
	}
	if len(q.Stop) > 0 && string(q.Stop) != "null" {
		var one string
		if json.Unmarshal(q.Stop, &one) == nil {
			o.StopStrings = []string{one}
		} else if json.Unmarshal(q.Stop, &o.StopStrings) != nil {
			return o, errors.New("stop is neither a text nor a list of texts")
		}
	}
	return o, o.Validate()
}

// plain are the prompts of a completion: a text, texts, ids or lists of ids.
func (q *request) plain(tok *token.Tokenizer) ([][]int32, error) {
	var text string
	var texts []string
	var ids []int32
	var lists [][]int32
	switch {
	case json.Unmarshal(q.Prompt, &text) == nil:
		texts = []string{text}
	case json.Unmarshal(q.Prompt, &ids) == nil:
		lists = [][]int32{ids}
	case json.Unmarshal(q.Prompt, &lists) == nil:
	case json.Unmarshal(q.Prompt, &texts) == nil:
		lists = nil // what was read of it before it turned out to be text
	default:
		return nil, errors.New("prompt is neither text nor token ids")
	}
	for _, text := range texts {
		ids := tok.Encode(text, false)
		if bos := tok.Special().BOS; tok.AddsBOS() && bos >= 0 && (len(ids) == 0 || ids[0] != bos) {
			ids = append([]int32{bos}, ids...)
		}
		lists = append(lists, ids)
	}
	if len(lists) == 0 || len(lists)*q.N > 64 {
		return nil, fmt.Errorf("%d prompts with n = %d; between 1 and 64 texts are written", len(lists), q.N)
	}
	if q.Stream && len(lists) > 1 {
		return nil, errors.New("a stream has one prompt")
	}
	return lists, nil
}
