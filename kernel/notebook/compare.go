package notebook

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"ftlab/ftlib/chart"
	"ftlab/ftlib/ckpt"
)

// Compare lays runs over each other: training and validation loss in one chart, and
// below it a table of the settings in which they differ and of what came out. A run is
// its folder, "../runs/reviews"; one that goes on is compared as far as it is.
func Compare(runs ...string) { compare("", runs) }

// CompareMetric is [Compare] with a chart of one metric by its name: "grad_norm",
// "tokens_per_second", or one of those in the table.
func CompareMetric(metric string, runs ...string) { compare(metric, runs) }

func compare(metric string, dirs []string) {
	v, err := newComparison(metric, dirs)
	if err != nil {
		showError(err)
		return
	}
	b, err := figureBundle(v.figure, "")
	if err != nil {
		showError(err)
		return
	}
	if InNotebook() {
		page, err := v.table().HTML()
		if err != nil {
			showError(err)
			return
		}
		b.html += page
	}
	b.text += v.table().Text()
	emit(b)
}

// comparison is what [Compare] shows.
type comparison struct {
	ckpt.Comparison
	figure chart.Figure
	notes  []string
}

func newComparison(metric string, dirs []string) (*comparison, error) {
	if len(dirs) == 0 {
		return nil, errors.New("notebook: Compare needs the folders of runs")
	}
	v := &comparison{}
	var infos []ckpt.Info
	var curves []chart.Curve
	for _, dir := range dirs {
		in, err := ckpt.Read(dir)
		if err != nil && in.Events == nil {
			return nil, err
		}
		if err != nil { // a torn file of one run must not hide the others
			v.notes = append(v.notes, err.Error())
		}
		infos, curves = append(infos, in), append(curves, chart.Curve{Name: in.Name, Events: in.Events})
	}
	v.Comparison = ckpt.Compare(infos...)
	same := map[string]int{}
	for _, in := range infos {
		same[in.Name]++
	}
	for i, in := range infos { // two folders of one name are told apart
		if same[in.Name] > 1 {
			name := filepath.ToSlash(filepath.Join(filepath.Base(filepath.Dir(in.Path)), in.Name))
			curves[i].Name, v.Runs[i] = name, name
		}
	}
	if metric != "" {
		v.figure = chart.Metric(metric, curves...)
		if len(v.figure.Series) == 0 {
			return nil, fmt.Errorf("notebook: none of the runs has a metric %q; they have %s", metric, strings.Join(v.ResultNames(), ", "))
		}
	} else {
		v.figure = chart.Loss(curves...)
		v.figure.Title = "Loss of " + strings.Join(v.Runs, ", ")
		if len(dirs) > 4 {
			v.figure.Title = fmt.Sprintf("Loss of %d runs", len(dirs))
		}
	}
	return v, nil
}

// less says of which results less is better, and more of which more is.
var (
	less = []string{"loss", "perplexity"}
	more = []string{"accuracy", "margin", "reward", "match", "win_rate"}
)

// best is the index of the best value of a result; -1: that is not known.
func best(name string, values []*float64) int {
	sign := 0.0
	for _, word := range less {
		if strings.Contains(name, word) {
			sign = -1
		}
	}
	for _, word := range more {
		if strings.Contains(name, word) {
			sign = 1
		}
	}
	at, ties := -1, 0
	for i, v := range values {
		switch {
		case v == nil || sign == 0:
		case at < 0 || sign**v > sign**values[at]:
			at, ties = i, 0
		case *v == *values[at]:
			ties++
		}
	}
	if ties > 0 || len(values) < 2 {
		return -1
	}
	return at
}

// table has a column a run. The best value of a result is marked.
func (v *comparison) table() table {
	t := table{names: append([]string{""}, v.Runs...), number: make([]bool, len(v.Runs)+1)}
	for i := range v.Runs {
		t.number[i+1] = true // to the right, words too
	}
	for _, key := range v.SettingKeys() {
		row := []string{key}
		for _, value := range v.Settings[key] {
			row = append(row, or(value, "–"))
		}
		t.rows = append(t.rows, row)
	}
	if len(t.rows) == 0 && len(v.Runs) > 1 {
		row := []string{"settings"}
		for range v.Runs {
			row = append(row, "the same")
		}
		t.rows = append(t.rows, row)
	}
	for _, name := range v.ResultNames() {
		row, at := []string{name}, best(name, v.Results[name])
		for i, value := range v.Results[name] {
			text := "–"
			if value != nil {
				text = fmt.Sprintf("%.5g", *value)
			}
			if i == at {
				text = "★ " + text
			}
			row = append(row, text)
		}
		t.rows = append(t.rows, row)
	}
	for _, note := range v.notes {
		t.rows = append(t.rows, append([]string{"note: " + note}, make([]string, len(v.Runs))...))
	}
	return t
}
