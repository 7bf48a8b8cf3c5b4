package ftlib

import (
	"encoding/json"
	"maps"
	"math"
	"time"
)

// The types of events.
const (
	EventStart    = "start"    // a run begins; Message says what is trained on what
	EventResume   = "resume"   // a run goes on after Step; later steps that were seen before are void
	EventRollback = "rollback" // Step is the last one again; later steps are void
	EventStep     = "step"     // an optimizer step was taken
	EventEval     = "eval"     // validation: Metrics holds "eval_loss", "perplexity" where the loss is that of tokens, "eval_reward" where answers are judged (the loss is then minus it)
	EventSample   = "sample"   // generated text; Message or Path
	EventSave     = "save"     // a checkpoint was written to Path
	EventControl  = "control"  // a person asked for something while the run went on; Control says what came of it
	EventWarning  = "warning"  // Message needs a person's attention; the run goes on
	EventNote     = "note"     // Message is good to know
	EventError    = "error"    // the run ends here; Message says why and what to do
	EventEnd      = "end"      // the run is over; Message is "finished", "interrupted" or "stopped early: ..."
)

// Event is one observation of a run. Everything that shows or stores a run is
// made from events: metrics.jsonl has one a line, the progress bar and the charts
// read the same type. Zero fields were not observed.
type Event struct {
	Time            time.Time          `json:"time"`
	Type            string             `json:"type"`            // see the Event... constants
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
	Path            string             `json:"path,omitempty"`         // of a checkpoint, sample file or branch
	Memory          int64              `json:"memory_bytes,omitempty"` // held by the process that trains
	Control         *Control           `json:"control,omitempty"`      // of a control event
}

// MarshalJSON leaves out numbers that JSON cannot hold (NaN and infinities): a line
// of metrics.jsonl is always readable. The message of the event says what they were.
func (e Event) MarshalJSON() ([]byte, error) {
	type plain Event
	if e.Loss != nil && !finite(*e.Loss) {
		e.Loss = nil
	}
	for _, f := range []*float64{&e.Epoch, &e.LR, &e.GradNorm, &e.TokensPerSecond, &e.SecondsLeft} {
		if !finite(*f) {
			*f = 0
		}
	}
	for name, v := range e.Metrics {
		if !finite(v) {
			e.Metrics = maps.Clone(e.Metrics)
			delete(e.Metrics, name)
		}
	}
	return json.Marshal(plain(e))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// SinkFunc is a function as a [Sink].
type SinkFunc func(Event) error

// Event calls f.
func (f SinkFunc) Event(e Event) error { return f(e) }

// Sink receives events in order, from one goroutine at a time.
type Sink interface {
	Event(Event) error
}
