package ckpt

import (
	"maps"
	"slices"

	"ftlab/ftlib"
)

// Comparison says how runs differ. Each list has one value for each run, in order.
type Comparison struct {
	Runs     []string              `json:"runs"`
	Settings map[string][]string   `json:"settings"` // those that differ: key -> value of each run, "" unset
	Results  map[string][]*float64 `json:"results"`  // name -> value of each run, null: not measured
}

// Compare compares runs: settings that differ, and the last value of every result.
func Compare(infos ...Info) Comparison {
	c := Comparison{Settings: map[string][]string{}, Results: map[string][]*float64{}}
	for i, in := range infos {
		c.Runs = append(c.Runs, in.Name)
		for _, s := range in.Run.Settings() {
			if s[0] == "name" || s[0] == "output_dir" {
				continue
			}
			if c.Settings[s[0]] == nil {
				c.Settings[s[0]] = make([]string, len(infos))
			}
			c.Settings[s[0]][i] = s[1]
		}
		steps, seen := float64(in.Step), float64(in.Seen)
		results := map[string]*float64{
			"train_loss": in.TrainLoss, "eval_loss": in.EvalLoss, "best_eval_loss": in.BestLoss, "steps": &steps, "tokens_seen": &seen, "seconds": &in.Seconds,
		}
		for _, e := range in.Events { // the last value of every metric
			for name, v := range e.Metrics {
				if name != "eval_loss" {
					results[name] = &v
				}
			}
		}
		for name, v := range results {
			if c.Results[name] == nil {
				c.Results[name] = make([]*float64, len(infos))
			}
			c.Results[name][i] = v
		}
	}
	for key, values := range c.Settings {
		if len(slices.Compact(slices.Clone(values))) == 1 {
			delete(c.Settings, key)
		}
	}
	return c
}

// SettingKeys are the keys of Settings in the order of [ftlib.Keys].
func (c Comparison) SettingKeys() []string {
	return slices.DeleteFunc(slices.Clone(ftlib.Keys()), func(key string) bool { return c.Settings[key] == nil })
}

// ResultNames are the names of Results that some run has, sorted.
func (c Comparison) ResultNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Results)), func(name string) bool {
		return !slices.ContainsFunc(c.Results[name], func(v *float64) bool { return v != nil })
	})
}
