package ftlib

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Validate reports everything in the specification that cannot be meant, one
// error a line. Zero fields are right: their meaning is documented.
func (r Run) Validate() error {
	c := checker{}
	c.require("model.path", r.Model.Path, "name the model: a directory, a llama2.c .bin file or a hub name")
	c.require("data.train", r.Data.Train, "name the rows to train on: a file, a directory, a glob or a hub data set")
	if strings.ContainsAny(r.Name, `/\`) || r.Name == "." || r.Name == ".." {
		c.errorf("name", "%q is one directory below output_dir: it holds no / and is not . or ..", r.Name)
	}
	if r.Model.DType == "float16" || r.Model.DType == "fp16" {
		c.errorf("model.dtype", "float16 gradients underflow without loss scaling, which is not there; use bfloat16 or float32")
	} else {
		c.oneOf("model.dtype", r.Model.DType, "float32", "bfloat16")
	}
	c.oneOf("model.memory", r.Model.Memory, "save", "recompute", "recompute_mlp", "recompute_halves")
	c.oneOf("model.stream", r.Model.Stream, "file", "host")
	if r.Model.Stream != "" && r.LoRA == nil && r.Model.Adapter == "" {
		c.errorf("model.stream", "streamed weights do not train: add lora")
	}
	c.oneOf("model.bnb_4bit_quant_type", r.Model.QuantType, "nf4", "fp4")
	switch m := r.Model; {
	case m.Load4Bit && m.Load8Bit:
		c.errorf("model.load_in_8bit", "model.load_in_4bit is set already; set one of the two")
	case (m.Load4Bit || m.Load8Bit) && r.LoRA == nil && m.Adapter == "":
		c.errorf("model.load_in_4bit", "quantised weights do not train: add lora")
	case !m.Load4Bit && (m.QuantType != "" || m.DoubleQuant || m.QuantBlock != 0):
		c.errorf("model.bnb_4bit_quant_type", "belongs to model.load_in_4bit: true, which is not set")
	}
	if len(r.Model.Freeze) > 0 && (r.LoRA != nil || r.Model.Adapter != "") {
		c.errorf("model.freeze", "an adapter leaves all weights of the model as they are already; leave model.freeze out, or choose lora.target_modules")
	}
	if slices.Contains(r.Model.Freeze, "") {
		c.errorf("model.freeze", "holds an empty name")
	}

	c.finite("data.validation_split", r.Data.Split)
	if r.Data.Split >= 1 {
		c.errorf("data.validation_split", "%v leaves nothing to train on; it is a fraction, 0.1 for ten percent", r.Data.Split)
	}
	if r.Data.Validation != "" && r.Data.Split > 0 {
		c.errorf("data.validation_split", "data.validation names the validation rows already; set one of the two")
	}
	c.oneOf("data.train_on", r.Data.TrainOn, "assistant", "completion", "all", "last")
	if f := r.Data.Prompt; f != "" && strings.Count(f, "{prompt}") != 1 {
		c.errorf("data.prompt_format", "%q has to hold {prompt} once", f)
	}
	if f := r.Data.Answer; f != "" && (!strings.Contains(f, "{rationale}") || !strings.Contains(f, "{answer}")) {
		c.errorf("data.answer_format", "%q has to hold {rationale} and {answer}", f)
	}
	c.atLeast("data.limit", r.Data.Limit, 0)
	c.atLeast("data.max_length", r.Data.MaxLength, 0)
	if r.Data.MaxLength == 1 {
		c.errorf("data.max_length", "1 token leaves nothing to predict")
	}

	if r.LoRA != nil && r.Model.Adapter != "" {
		c.errorf("lora", "model.adapter brings its own rank and modules; set one of the two")
	}
	if l := r.LoRA; l != nil {
		c.atLeast("lora.r", l.R, 0)
		c.within("lora.lora_alpha", l.Alpha, 0, math.MaxFloat64)
		c.below("lora.lora_dropout", l.Dropout)
		c.oneOf("lora.bias", l.Bias, "none", "all", "lora_only")
		if slices.Contains(l.Targets, "") {
			c.errorf("lora.target_modules", "holds an empty name")
		}
		l.validate(&c)
	}
	if names := r.Method.set(); len(names) > 1 {
		c.errorf("method", "%s are set; a run trains one method", strings.Join(names, " and "))
	}
	r.Method.validate(&c)

	o := r.Optim
	c.oneOf("optim.optim", o.Optim, optimizerNames()...)
	c.below("optim.momentum", o.Momentum)
	if o.Momentum > 0 && o.Rule() != "sgd" {
		c.errorf("optim.momentum", "belongs to optim.optim: sgd; %s has adam_beta1", o.ResolvedName())
	}
	c.within("optim.learning_rate", o.LearningRate, 0, math.MaxFloat64)
	for _, to := range r.ReportTo {
		c.oneOf("report_to", to, "tensorboard")
	}
	c.oneOf("optim.lr_scheduler_type", o.Schedule, "linear", "cosine", "constant")
	c.atLeast("optim.warmup_steps", o.WarmupSteps, 0)
	c.below("optim.warmup_ratio", o.WarmupRatio)
	if o.WarmupSteps > 0 && o.WarmupRatio > 0 {
		c.errorf("optim.warmup_ratio", "optim.warmup_steps is set already; set one of the two")
	}
	c.within("optim.weight_decay", o.WeightDecay, 0, math.MaxFloat64)
	if o.Beta1 != nil {
		c.below("optim.adam_beta1", *o.Beta1)
	}
	if o.Beta2 != nil {
		c.below("optim.adam_beta2", *o.Beta2)
	}
	c.within("optim.adam_epsilon", o.Epsilon, 0, math.MaxFloat64)
	c.finite("optim.max_grad_norm", o.MaxGradNorm)
	c.within("optim.loraplus_lr_ratio", o.LoRAPlus, 0, math.MaxFloat64)
	if o.LoRAPlus > 0 && r.LoRA == nil && r.Model.Adapter == "" {
		c.errorf("optim.loraplus_lr_ratio", "it is the rate of an adapter's B matrices; this run trains none: set lora")
	}

	c.atLeast("batch.per_device_train_batch_size", r.Batch.Size, 0)
	c.atLeast("batch.gradient_accumulation_steps", r.Batch.Accumulate, 0)
	c.atLeast("batch.max_steps", r.Batch.MaxSteps, 0)
	c.within("batch.num_train_epochs", r.Batch.Epochs, 0, math.MaxFloat64)
	c.atLeast("eval.max_eval_rows", r.Eval.Rows, 0)
	c.atLeast("eval.early_stopping_patience", r.Eval.Patience, 0)
	if r.Eval.Patience > 0 && (r.Eval.Every < 0 || r.Data.Validation == "" && r.Data.Split < 0) {
		c.errorf("eval.early_stopping_patience", "early stopping watches the validation loss, but there is no validation; set data.validation or data.validation_split, and eval.eval_steps")
	}
	return errors.Join(c.errs...)
}

// set are the names of the methods that are set.
func (m Method) set() []string {
	var names []string
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			names = append(names, yamlName(v.Type().Field(i)))
		}
	}
	return names
}

type checker struct{ errs []error }

func (c *checker) errorf(key, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("ftlib: %s: %s", key, fmt.Sprintf(format, args...)))
}

func (c *checker) require(key, value, what string) {
	if value == "" {
		c.errorf(key, "missing; %s", what)
	}
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		c.errorf(key, "%q is not one of %s%s", value, strings.Join(allowed, ", "), suggest(value, allowed))
	}
}

func (c *checker) atLeast(key string, value, low int) {
	if value < low {
		c.errorf(key, "%d is below %d", value, low)
	}
}

func (c *checker) within(key string, value, low, high float64) {
	if !(value >= low && value <= high) { // NaN is not within anything
		c.errorf(key, "%v is not a number from %v on", value, low)
	}
}

func (c *checker) below(key string, value float64) {
	if !(value >= 0 && value < 1) {
		c.errorf(key, "%v is not in [0, 1)", value)
	}
}

func (c *checker) finite(key string, value float64) {
	if !finite(value) {
		c.errorf(key, "%v is not a number", value)
	}
}
