package plan

import (
	"fmt"
	"strings"

	"ftlab/ftlib"
)

// Report is what a plan says of a run on a device.
type Report struct {
	Model  string   `json:"model"`
	Params int64    `json:"params"`
	Device Device   `json:"device"`
	Limit  int64    `json:"limit"` // bytes that may be used
	Ledger Ledger   `json:"ledger"`
	Work   Work     `json:"work"`
	Cost   Estimate `json:"cost"`
	Fits   bool     `json:"fits"`
	Close  bool     `json:"close"` // it fits, with less than a tenth to spare
	Advice []Advice `json:"advice,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// Of plans a run. limit is the memory that may be used, in bytes; 0: all that the device has.
func Of(run ftlib.Run, shape Shape, d Device, w Work, limit int64) Report {
	if limit == 0 {
		limit = d.Bytes()
	}
	r := Report{Model: shape.Name, Params: shape.Params(), Device: d, Limit: limit, Work: w}
	s := SetupOf(run, shape, Place{GPU: d.GPU(), Memory: limit})
	r.Ledger = Memory(s)
	if w.Tokens == 0 {
		r.Work.Tokens = float64(min(s.Length, 512))
		r.Notes = append(r.Notes, fmt.Sprintf("rows of %.0f tokens are assumed: say how long yours are (--tokens), ft data stats tells", r.Work.Tokens))
	}
	if w.Epochs == 0 {
		r.Work.Epochs = 1
		if e := run.Resolve().Batch.Epochs; e > 0 {
			r.Work.Epochs = e
		}
	}
	if d.GPU() || d.Rates != nil {
		r.Cost = Cost(s, d, r.Work)
		if steps := float64(run.Batch.MaxSteps); steps > 0 && r.Cost.Steps > 0 && !s.Sampled() {
			r.Cost.Total *= steps / r.Cost.Steps
			r.Cost.Dollars *= steps / r.Cost.Steps
			r.Cost.Steps = steps
		}
	}
	r.Fits = limit <= 0 || r.Ledger.Bytes() <= limit
	r.Close = r.Fits && limit > 0 && r.Ledger.Bytes() > limit/10*9
	if !r.Fits {
		r.Advice = Fit(run, shape, d, limit)
	}
	if d.GPU() {
		r.Notes = append(r.Notes, "FTLab was not measured on a GPU: the process and the allocator are guesses, and the time is the peak rate times what other programs reach")
		if d.Count > 1 {
			r.Notes = append(r.Notes, "memory and rates of the devices are added up; FTLab itself trains on one")
		}
		if d.Name == "t4" && s.Compute == "bfloat16" {
			r.Notes = append(r.Notes, "a T4 has no bfloat16: float16 rates are shown, and FTLab would compute in float32")
		}
	}
	return r
}

// Verdict is whether it fits, on one line.
func (r Report) Verdict() string {
	peak, limit := Size(r.Ledger.Bytes()), Size(r.Limit)
	where := r.Device.Title
	if where == "" {
		where = "this machine"
	}
	switch {
	case r.Limit <= 0:
		return fmt.Sprintf("it takes about %s", peak)
	case r.Close:
		return fmt.Sprintf("it fits, barely: about %s of the %s of %s", peak, limit, where)
	case r.Fits:
		return fmt.Sprintf("it fits: about %s of the %s of %s", peak, limit, where)
	case len(r.Advice) == 0:
		return fmt.Sprintf("it will not fit: about %s, and %s has %s; no setting of this list changes that", peak, where, limit)
	}
	return fmt.Sprintf("it will not fit: about %s, and %s has %s. Here are %d settings that will, best first", peak, where, limit, len(r.Advice))
}

// Rows are the lines of the peak as a table: name, bytes, what it is.
func (r Report) Rows() [][]string {
	rows := [][]string{{"what", "memory", "how"}}
	for _, l := range r.Ledger.Peak.Lines {
		rows = append(rows, []string{l.Name, Size(l.Bytes), l.What})
	}
	return append(rows, []string{"peak", Size(r.Ledger.Bytes()), "while: " + r.Ledger.Peak.Name})
}

// Text is the report as plain text.
func (r Report) Text() string {
	var b strings.Builder
	s := r.Ledger.Setup
	fmt.Fprintf(&b, "%s, %s weights: %s with %s, %s trained\n", r.Model, count(r.Params), s.Method, s.Adapter(), count(r.Ledger.Trained))
	fmt.Fprintf(&b, "batches of %d x %d tokens, %s, %s activations\n\n", s.Batch*s.PerExample, s.Length, s.Optim, map[string]string{"save": "kept", "recompute": "recomputed", "recompute_mlp": "partly recomputed", "recompute_halves": "recomputed", "offload": "offloaded"}[s.Memory])
	width := 0
	for _, row := range r.Rows() {
		width = max(width, len(row[0]))
	}
	for _, row := range r.Rows()[1:] {
		fmt.Fprintf(&b, "  %-*s %10s  %s\n", width, row[0], row[1], row[2])
	}
	if r.Ledger.Host > 0 {
		fmt.Fprintf(&b, "  %-*s %10s  in host memory besides\n", width, "host", Size(r.Ledger.Host))
	}
	fmt.Fprintf(&b, "\n%s\n", r.Verdict())
	for i, a := range r.Advice {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, a.Words())
	}
	if c := r.Cost; c.Step > 0 {
		fmt.Fprintf(&b, "\na step takes about %s (%s)\n", Duration(c.Step), c.Why)
		if r.Work.Rows > 0 {
			fmt.Fprintf(&b, "%d rows of %.0f tokens, %s epochs: %.0f steps, %s", r.Work.Rows, r.Work.Tokens, trim(r.Work.Epochs), c.Steps, Duration(c.Total))
			if c.Write > 0 {
				fmt.Fprintf(&b, ", of which %s to write and read answers", Duration(c.Write))
			}
			if c.Dollars > 0 {
				fmt.Fprintf(&b, "; about $%.2f", c.Dollars)
			}
			b.WriteByte('\n')
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}
