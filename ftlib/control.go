package ftlib

import (
	"fmt"
	"math"
	"strconv"
)

// Control is what a run did when it was asked for something between two steps. A
// hyperparameter that was set holds from the step after [Event.Step].
type Control struct {
	ID      string   `json:"id"`                // of the command, unique
	Command string   `json:"command"`           // "pause", "continue", "save", "stop", "rollback", "branch", "set"
	Key     string   `json:"key,omitempty"`     // set: the hyperparameter
	Old     *float64 `json:"old,omitempty"`     // set: its value before; rollback: the step before
	New     *float64 `json:"new,omitempty"`     // set: its value from the next step on; rollback: the step after
	By      string   `json:"by,omitempty"`      // who asked
	Refused string   `json:"refused,omitempty"` // why it was not done; empty: it was
}

// Knob is a hyperparameter that a run lets one change while it goes on.
type Knob struct {
	Key   string  `json:"key"`   // as in a specification, without its section: "learning_rate"
	Value float64 `json:"value"` // now
	Min   float64 `json:"min"`   // the least that is allowed
	Max   float64 `json:"max"`   // the most
	Log   bool    `json:"log,omitempty"`
	Help  string  `json:"help,omitempty"` // one sentence
}

// Check says why the knob cannot be turned to v.
func (k Knob) Check(v float64) error {
	if math.IsNaN(v) || v < k.Min || v > k.Max {
		return fmt.Errorf("%s is %s to %s, not %s", k.Key, Short(k.Min), Short(k.Max), Short(v))
	}
	return nil
}

// Short writes a number with as few digits as it needs: "0.0002", "5e-05", "1".
func Short(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
