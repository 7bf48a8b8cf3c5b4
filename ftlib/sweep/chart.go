package sweep

import "ftlab/ftlib/chart"

// Charts are the pictures of what came of a sweep, see [chart.Search].
func (s Spec) Charts(results []Outcome) []chart.Figure {
	s = s.Resolve()
	c := chart.Search{Metric: s.Metric, Maximize: s.Goal == "max"}
	for _, a := range s.Over {
		c.Settings = append(c.Settings, a.Key)
	}
	for _, o := range results {
		t := chart.Tried{Name: o.Name, Value: o.Value}
		for _, v := range o.Values {
			t.Values = append(t.Values, v[1])
		}
		c.Tried = append(c.Tried, t)
	}
	return c.Figures()
}
