package plan

import (
	"fmt"
)

// The factors of training time: how many times something takes, of something else. They
// are what [Cost] says, with everything else equal.

// ModelFactor is the time of a token in one model over that in another.
func ModelFactor(a, b Shape, length int) float64 {
	per := func(s Shape) float64 {
		f := Setup{Shape: s, Length: length}.forward()
		return f.blocks + f.head + f.scores*4*float64(s.HeadDim)
	}
	return per(a) / per(b)
}

// DataFactor is the time with times as many rows.
func DataFactor(times float64) float64 { return times }

// DeviceFactor is the time on one device over that on another, of the same setup.
func DeviceFactor(s Setup, a, b Device) float64 { return StepTime(s, a) / StepTime(s, b) }

// BatchFactor is the time of rows side by side over that of one after another.
func BatchFactor(s Setup, d Device, rows int) float64 {
	one, all := s, s
	one.Batch, one.Accumulate = 1, rows
	all.Batch, all.Accumulate = rows, 1
	return StepTime(all, d) / StepTime(one, d)
}

// PrecisionFactor is the time of products in a type over those in bfloat16 on a device: "float32",
// "nf4", "int8".
func PrecisionFactor(d Device, precision string) float64 {
	switch precision {
	case "float32":
		if d.Rates != nil {
			return d.Rates.BF16 / d.Rates.F32
		}
		return d.Half / d.TF32
	case "nf4", "fp4", "int8":
		return unpackSlower
	}
	return 1
}

// MethodFactor is the time of "lora" or "qlora" over that of training all weights, with activations
// computed again in all of them: three passes, three and the unpacking, four.
func MethodFactor(adapter string) float64 {
	switch adapter {
	case "lora":
		return 3.0 / 4
	case "qlora":
		return 3.0 / 4 * unpackSlower
	}
	return 1
}

// BudgetLine is what an amount of money buys.
type BudgetLine struct {
	Device Device   `json:"device"`
	Hours  float64  `json:"hours"` // of it, for the money
	Fits   []string `json:"fits"`  // the largest model of each way to train, rows of 1024 tokens
	Rows   []string `json:"rows"`  // how many rows of 512 tokens the hours are enough for
}

// Budget is what dollars a month buy on a device; a device that is not for rent is owned: all hours of a
// month.
func Budget(dollars float64, device string) (BudgetLine, error) {
	d, err := FindDevice(device)
	if err != nil {
		return BudgetLine{}, err
	}
	b := BudgetLine{Device: d, Hours: 730}
	if price := d.Price * float64(max(1, d.Count)); price > 0 {
		b.Hours = min(730, dollars/price)
	}
	for _, adapter := range []string{"full", "lora", "qlora"} {
		best := ""
		for _, s := range KnownShapes() {
			setup, err := Claim{Model: s.Name, Adapter: adapter}.setup(1024)
			if err != nil {
				return b, err
			}
			if Memory(setup).Bytes() > d.Bytes() {
				continue
			}
			best = s.Name
			rows := 3600 / StepTime(setup, d) * float64(setup.Batch*setup.Accumulate) * 2 * b.Hours
			if len(b.Rows) < len(b.Fits)+1 {
				b.Rows = append(b.Rows, "")
			}
			b.Rows[len(b.Fits)] = count(int64(rows))
		}
		if best == "" {
			best = "none"
			b.Rows = append(b.Rows, "-")
		}
		b.Fits = append(b.Fits, adapter+": "+best)
	}
	return b, nil
}

// Method is a way to adapt weights, compared with others.
type Method struct {
	Adapter string  `json:"adapter"`
	Bytes   int64   `json:"bytes"` // peak of one row of 512 tokens
	Trained int64   `json:"trained"`
	File    int64   `json:"file"`  // bytes of what is saved
	Times   float64 `json:"times"` // the time of training all weights
}

// Methods compares training all weights, LoRA and QLoRA of a model on a GPU.
func Methods(model string) ([]Method, error) {
	var all []Method
	for _, adapter := range []string{"full", "lora", "qlora"} {
		s, err := Claim{Model: model, Adapter: adapter}.setup(512)
		if err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		l := Memory(s)
		all = append(all, Method{Adapter: adapter, Bytes: l.Bytes(), Trained: l.Trained, File: 4 * l.Trained, Times: MethodFactor(adapter)})
	}
	return all, nil
}
