package ftlib

import "time"

// Event is one observation of a run. Everything that shows or stores a run is
// made from events: metrics.jsonl has one a line, the progress bar and the charts
// read the same type. Zero fields were not observed.
type Event struct {
	Time            time.Time          `json:"time"`
	Type            string             `json:"type"`            // "start", "step", "eval", "sample", "save", "warning", "error", "end"
	Step            int                `json:"step"`            // optimizer steps done
	Steps           int                `json:"steps,omitempty"` // planned
	Epoch           float64            `json:"epoch,omitempty"`
	Loss            *float64           `json:"loss,omitempty"` // nats a trained token
	LR              float64            `json:"learning_rate,omitempty"`
	GradNorm        float64            `json:"grad_norm,omitempty"`   // before clipping
	Tokens          int                `json:"tokens,omitempty"`      // trained tokens in this step
	Seen            int                `json:"tokens_seen,omitempty"` // real tokens, trained or not, since the start
	TokensPerSecond float64            `json:"tokens_per_second,omitempty"`
	SecondsLeft     float64            `json:"seconds_left,omitempty"`
	Metrics         map[string]float64 `json:"metrics,omitempty"` // the method's own: "accuracy", "eval_loss", "perplexity", ...
	Message         string             `json:"message,omitempty"`
	Path            string             `json:"path,omitempty"` // of a checkpoint or sample file
}

// Sink receives events in order, from one goroutine at a time.
type Sink interface {
	Event(Event) error
}
