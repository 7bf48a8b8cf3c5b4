package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ftlab/ftlib"
)

// Advice is a run that was changed so that it fits.
type Advice struct {
	Changes []string  `json:"changes"` // settings as --set takes them
	Price   string    `json:"price"`   // what is given up, in words
	Bytes   int64     `json:"bytes"`   // estimated peak
	Step    float64   `json:"step_s"`  // estimated time of a step of as many sequences; 0: not known
	Run     ftlib.Run `json:"-"`
}

// measure is one thing that can be changed to save memory.
type measure struct {
	name  string
	loss  int // what it costs: 0 nothing that one sees, 1 time, 2 a little quality, 3 another method
	words string
	apply func(run *ftlib.Run, s Setup) bool // false: it changes nothing
}

var measures = []measure{
	{"recompute", 1, "a third more time", func(r *ftlib.Run, s Setup) bool {
		was := s.Memory
		r.Model.Memory = "recompute"
		return was == "save"
	}},
	{"smaller batches", 0, "the same steps in smaller pieces", func(r *ftlib.Run, s Setup) bool {
		if s.Batch <= 1 || s.Method == "ppo" {
			return false
		}
		r.Batch.Size, r.Batch.Accumulate = 1, s.Batch*s.Accumulate
		return true
	}},
	{"eight-bit optimizer", 2, "moments in eight bits", func(r *ftlib.Run, s Setup) bool {
		return s.Optim == "adamw_torch" && r.Set("optim.optim=paged_adamw_8bit") == nil
	}},
	{"bfloat16", 2, "frozen weights with 8 bits of precision", func(r *ftlib.Run, s Setup) bool {
		if s.LoRA == nil || s.Outer != "float32" {
			return false
		}
		r.Model.DType = "bfloat16"
		return true
	}},
	{"QLoRA", 2, "frozen weights in four bits; steps up to 1.3 times as long", func(r *ftlib.Run, s Setup) bool {
		if s.LoRA == nil || s.Quantised() && (s.Double || s.Weights == "int8") {
			return false
		}
		r.Model.Load4Bit, r.Model.Load8Bit, r.Model.DoubleQuant = true, false, true
		r.Model.DType = "bfloat16"
		return true
	}},
	{"LoRA", 3, "an adapter instead of all weights", func(r *ftlib.Run, s Setup) bool {
		if s.LoRA != nil {
			return false
		}
		r.LoRA = &ftlib.LoRA{}
		return true
	}},
	{"half the length", 3, "longer rows are cut", func(r *ftlib.Run, s Setup) bool {
		if s.Length < 256 {
			return false
		}
		r.Data.MaxLength = s.Length / 2
		return true
	}},
	{"streamed weights", 1, "frozen weights are read from the file at every step: slow", func(r *ftlib.Run, s Setup) bool {
		return s.LoRA != nil && r.Set("model.stream=file") == nil
	}},
}

// Fit is up to three ways to make a run fit into limit bytes, best first: those that change
// least. It is empty where the run fits as it is, and where nothing helps.
func Fit(run ftlib.Run, shape Shape, d Device, limit int64) []Advice {
	at := Place{GPU: d.GPU(), Memory: limit}
	if Memory(SetupOf(run, shape, at)).Bytes() <= limit {
		return nil
	}
	var all []Advice
	losses := map[string]int{}
	for set := 1; set < 1<<len(measures); set++ {
		changed, before := run.Clone(), run
		words, loss, useful := []string{}, 0, true
		for i, m := range measures {
			if set&(1<<i) == 0 {
				continue
			}
			if !m.apply(&changed, SetupOf(changed, shape, at)) {
				useful = false
				break
			}
			words, loss = append(words, m.words), loss+1+3*m.loss
		}
		if !useful {
			continue
		}
		s := SetupOf(changed, shape, at)
		bytes := Memory(s).Bytes()
		if bytes > limit {
			continue
		}
		a := Advice{Changes: changesOf(before, changed), Price: strings.Join(words, "; "), Bytes: bytes, Run: changed}
		if d.GPU() || d.Rates != nil {
			a.Step = StepTime(s, d)
		}
		losses[a.Price] = loss
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b Advice) int {
		return cmp.Or(cmp.Compare(losses[a.Price], losses[b.Price]), cmp.Compare(a.Bytes, b.Bytes))
	})
	return distinct(all, 3)
}

// distinct keeps the first n pieces of advice of which none does everything that a better one does, and more.
func distinct(all []Advice, n int) []Advice {
	var out []Advice
	for _, a := range all {
		if len(out) == n {
			break
		}
		if slices.ContainsFunc(out, func(b Advice) bool {
			return !slices.ContainsFunc(b.Changes, func(c string) bool { return !slices.Contains(a.Changes, c) })
		}) {
			continue
		}
		out = append(out, a)
	}
	return out
}

// changesOf are the settings in which two runs differ, as --set takes them.
func changesOf(before, after ftlib.Run) []string {
	was := map[string]string{}
	for _, kv := range before.Settings() {
		was[kv[0]] = kv[1]
	}
	var out []string
	for _, kv := range after.Settings() {
		if was[kv[0]] != kv[1] {
			out = append(out, kv[0]+"="+kv[1])
		}
	}
	if before.LoRA == nil && after.LoRA != nil && !slices.ContainsFunc(out, func(s string) bool { return strings.HasPrefix(s, "lora.") }) {
		out = append(out, "lora.r=16")
	}
	return out
}

// Words is advice on one line.
func (a Advice) Words() string {
	text := fmt.Sprintf("--set %s: %s", strings.Join(a.Changes, " --set "), Size(a.Bytes))
	if a.Step > 0 {
		text += ", a step " + Duration(a.Step)
	}
	return text + " (" + a.Price + ")"
}
