package ftlib

import (
	"fmt"
	"slices"
	"strings"
)

// optimizers are the names of transformers' TrainingArguments.optim that are built, with
// what each stands for. "lion" is the paper's name of lion_32bit.
var optimizers = []struct {
	name, rule   string
	eight, paged bool
}{
	{"adamw_torch", "adamw", false, false}, {"adamw_torch_fused", "adamw", false, false},
	{"adamw_8bit", "adamw", true, false}, {"adamw_bnb_8bit", "adamw", true, false},
	{"paged_adamw_32bit", "adamw", false, true}, {"paged_adamw_8bit", "adamw", true, true},
	{"lion", "lion", false, false}, {"lion_32bit", "lion", false, false}, {"lion_8bit", "lion", true, false},
	{"paged_lion_32bit", "lion", false, true}, {"paged_lion_8bit", "lion", true, true},
	{"sgd", "sgd", false, false}, {"adafactor", "adafactor", false, false},
}

func optimizerNames() []string {
	var names []string
	for _, o := range optimizers {
		names = append(names, o.name)
	}
	return names
}

// KnownName says what is wrong with the name of the optimizer; nil: nothing.
func (o Optim) KnownName() error {
	if names := optimizerNames(); !slices.Contains(names, o.ResolvedName()) {
		return fmt.Errorf("ftlib: optim.optim: %q is not one of %s%s", o.Optim, strings.Join(names, ", "), suggest(o.Optim, names))
	}
	return nil
}

// ResolvedName is the name of the optimizer with the default written in.
func (o Optim) ResolvedName() string {
	if o.Optim == "" {
		return "adamw_torch"
	}
	return o.Optim
}

// Rule is what the optimizer does, however it holds its state: "adamw", "lion", "sgd" or
// "adafactor".
func (o Optim) Rule() string { return optimizers[o.at()].rule }

// EightBit says whether state is held in 8 bits.
func (o Optim) EightBit() bool { return optimizers[o.at()].eight }

// Paged says whether state lies on the host between the steps of a block.
func (o Optim) Paged() bool { return optimizers[o.at()].paged }

// at is the place of the optimizer in the list, of AdamW when it is in none.
func (o Optim) at() int { return max(0, slices.Index(optimizerNames(), o.ResolvedName())) }
