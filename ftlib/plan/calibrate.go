package plan

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// calibration are the steps that a processor is calibrated with: each tells one of the rates.
// Shapes are small enough for a second a step and large enough to look like a model.
var calibration = []struct {
	Case
	rate func(r *Rates) *float64
	slow bool // the rate is operations a second, not seconds an operation
}{
	{Case{Name: "call", Shape: "cal-call", Batch: 1, Length: 16, Weights: "float32", R: 16, Recompute: true, Steps: 12}, func(r *Rates) *float64 { return &r.Call }, false},
	{Case{Name: "score", Shape: "cal-score", Batch: 1, Length: 512, Weights: "float32", R: 4, Recompute: true, Steps: 5}, func(r *Rates) *float64 { return &r.Score }, false},
	{Case{Name: "head", Shape: "cal-head", Batch: 1, Length: 256, Weights: "float32", R: 4, Recompute: true, Steps: 5}, func(r *Rates) *float64 { return &r.Logit }, true},
	{Case{Name: "f32", Shape: "cal-block", Batch: 1, Length: 256, Weights: "float32", R: 16, Recompute: true, Steps: 5}, func(r *Rates) *float64 { return &r.F32 }, true},
	{Case{Name: "bf16", Shape: "cal-block", Batch: 1, Length: 256, Weights: "bfloat16", R: 16, Recompute: true, Steps: 5}, func(r *Rates) *float64 { return &r.BF16 }, true},
	{Case{Name: "nf4", Shape: "cal-block", Batch: 1, Length: 256, Weights: "nf4", Double: true, R: 16, Recompute: true, Steps: 5}, func(r *Rates) *float64 { return &r.Unpack }, false},
	{Case{Name: "update", Shape: "cal-block", Batch: 1, Length: 32, Weights: "float32", Steps: 5}, func(r *Rates) *float64 { return &r.Update }, false},
}

// calibrationShapes are theirs.
func calibrationShapes() map[string]Shape {
	base := Shape{Family: "llama", Vocab: 256, Hidden: 64, Layers: 2, Heads: 2, KVHeads: 2, HeadDim: 32, FFN: 128, Positions: 1024, Tied: true}
	score, head, block := base, base, base
	score.Hidden, score.Heads, score.KVHeads, score.HeadDim, score.FFN = 256, 8, 8, 32, 256
	head.Hidden, head.HeadDim, head.FFN, head.Layers, head.Vocab = 512, 256, 128, 1, 16384
	block.Hidden, block.Heads, block.KVHeads, block.HeadDim, block.FFN, block.Vocab = 1024, 16, 16, 64, 2816, 512
	return map[string]Shape{"cal-call": base, "cal-score": score, "cal-head": head, "cal-block": block}
}

// Calibrate finds the rates of a processor from steps that run times: step returns the seconds of a
// median step of a case.
func Calibrate(step func(Case) (float64, error)) (Rates, error) {
	r := Rates{F32: 50, BF16: 50, Unpack: 0.5, Score: 1, Logit: 50, Update: 2, Call: 100}
	took := make([]float64, len(calibration))
	for i, c := range calibration {
		var err error
		if took[i], err = step(c.Case); err != nil {
			return r, fmt.Errorf("plan: calibration %s: %w", c.Name, err)
		}
	}
	for range 20 { // each step tells its rate, given the others
		for i, c := range calibration {
			s, err := c.Setup()
			if err != nil {
				return r, err
			}
			at := c.rate(&r)
			now := *at
			whole := StepTime(s, Device{Rates: &r})
			*at = 1e30 // nothing left of it
			if !c.slow {
				*at = 0
			}
			rest := StepTime(s, Device{Rates: &r})
			part := whole - rest
			want := max(took[i]-rest, took[i]/20) // the others cannot explain more than everything
			if c.slow {
				*at = now * part / want
			} else {
				*at = now * want / part
			}
		}
	}
	return r, nil
}

// RatesFile is where the calibration of this machine is kept.
func RatesFile() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("plan: %w", err)
	}
	return filepath.Join(dir, "ftlab", "calibration.json"), nil
}

// SavedRates are the last calibration of this machine on a backend; false when there is none.
func SavedRates(machine string) (Rates, bool) {
	var all map[string]Rates
	path, err := RatesFile()
	if err != nil {
		return Rates{}, false
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &all) != nil {
		return Rates{}, false
	}
	r, ok := all[machine]
	return r, ok && r.F32 > 0
}

// SaveRates keeps a calibration for later plans.
func SaveRates(r Rates) error {
	path, err := RatesFile()
	if err != nil {
		return err
	}
	all := map[string]Rates{}
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &all) // one that does not read is made anew
	}
	all[r.Machine] = r
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
}

// Config is a config.json of the shape, in transformers' layout.
func (s Shape) Config() []byte {
	m := map[string]any{"model_type": s.Family, "vocab_size": s.Vocab, "hidden_size": s.Hidden, "num_hidden_layers": s.Layers,
		"num_attention_heads": s.Heads, "num_key_value_heads": s.KVHeads, "head_dim": s.HeadDim, "intermediate_size": s.FFN,
		"max_position_embeddings": s.Positions, "tie_word_embeddings": s.Tied,
		"attention_bias": s.Family == "llama" && (s.Biases == "attention" || s.Biases == "all"), "mlp_bias": s.Family == "llama" && s.Biases == "all"}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // plain values
	}
	return data
}
