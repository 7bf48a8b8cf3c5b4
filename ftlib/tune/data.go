package tune

import (
	"errors"

	"ftlab/ftlib/corpus"
)

// ErrRefused is wrapped by the error of a run whose data would train something
// silently wrong. The error shows rows and says what to change.
var ErrRefused = errors.New("the data was refused")

// Data is what a run trains on, ready for the loop.
type Data struct {
	Train      Source
	Validation []*corpus.Batch
	Where      func(example int) (file string, row int)
	Warnings   []string // what was noticed and is no reason to refuse

	Kind     corpus.Kind
	Form     string // of the rows, as recognised
	Rows     int    // trained on
	Held     int    // kept for validation
	Left     int    // refused and left out because the run insists
	Tokens   int    // of all training rows
	Trained  int    // of them, targets
	Template string // name of the chat template; "" where none was used
	Hashes   map[string]string
}

// summary is what env.json keeps of the data.
func (d *Data) summary() map[string]any {
	m := map[string]any{
		"kind": string(d.Kind), "form": d.Form, "train_rows": d.Rows, "validation_rows": d.Held, "left_out": d.Left,
		"tokens": d.Tokens, "trained_tokens": d.Trained,
	}
	if d.Template != "" {
		m["chat_template"] = d.Template
	}
	for name, hash := range d.Hashes {
		m[name+"_hash"] = hash
	}
	return m
}
