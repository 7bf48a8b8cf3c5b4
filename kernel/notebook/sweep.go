package notebook

import (
	"fmt"

	"ftlab/ftlib/sweep"
)

// Sweep shows a search over hyperparameters, of which dir is the directory: its trials as a
// table, the best first, and its charts. One that is not done is shown as far as it is.
func Sweep(dir string) {
	s, err := sweep.Open(dir)
	if err != nil {
		showError(err)
		return
	}
	results, err := s.Results()
	for _, f := range s.Charts(results) {
		Show(f)
	}
	if results != nil {
		showView(sweepTable(s, results))
	}
	if err != nil {
		showError(err)
	}
}

func sweepTable(s sweep.Spec, results []sweep.Outcome) table {
	t := table{names: []string{"trial"}, number: []bool{false}}
	add := func(name string) { t.names, t.number = append(t.names, name), append(t.number, true) }
	for _, a := range s.Over {
		add(a.Key)
	}
	add(s.Resolve().Metric)
	add("steps")
	t.names, t.number = append(t.names, "status"), append(t.number, false)
	for i, o := range results {
		if i == maxRows {
			t.more = len(results) - i
			break
		}
		row := []string{o.Name}
		for _, v := range o.Values {
			row = append(row, v[1])
		}
		value := "–"
		if o.Value != nil {
			value = fmt.Sprintf("%.4g", *o.Value)
		}
		t.rows = append(t.rows, append(row, value, fmt.Sprint(o.Step), o.Status))
	}
	return t
}
