package recipe

import (
	"fmt"
	"strconv"
	"strings"
)

// keep is a value function for settings whose value decides the verdict.
type valued = func(im *importer, text string) (string, Verdict, string)

// unused is a rule for what does not change the weights.
func unused(note string) rule { return rule{v: Unused, note: note} }

// lost is a rule for what is not there.
func lost(note string) rule { return rule{v: Lost, note: note} }

// lostUnless is lost unless the setting is off.
func lostUnless(note string, off ...string) rule {
	return rule{value: func(_ *importer, text string) (string, Verdict, string) {
		for _, o := range append(off, "false", "0", "none", "null", "") {
			if strings.EqualFold(text, o) {
				return "", Unused, "off"
			}
		}
		return "", Lost, note
	}}
}

// unusedPrefixes begin the names of whole families without influence on the weights.
var unusedPrefixes = []string{"wandb_", "mlflow_", "comet_", "swanlab_", "hub_", "logging_", "dataloader_", "vllm_", "report_", "ddp_", "push_to_hub", "trackio_", "tensorboard_"}

// common are the names of transformers' TrainingArguments, which all three tools share.
var common = map[string]rule{
	"report_to": {value: func(_ *importer, text string) (string, Verdict, string) {
		if strings.Contains(text, "tensorboard") {
			return "report_to=tensorboard", Kept, ""
		}
		return "", Unused, "metrics.jsonl holds everything; report_to: tensorboard writes event files too"
	}},
	"warmup_ratio":      {to: "optim.warmup_ratio"},
	"lr_scheduler_type": {value: schedule},
	"optim":             {value: optimizer},
	"max_steps": {value: func(_ *importer, text string) (string, Verdict, string) {
		if n, err := strconv.Atoi(text); err == nil && n <= 0 {
			return "", Unused, "off: the epochs decide"
		}
		return "batch.max_steps=" + text, Kept, ""
	}},
	"max_grad_norm": {value: func(_ *importer, text string) (string, Verdict, string) {
		if v, err := strconv.ParseFloat(text, 64); err == nil && v == 0 {
			return "optim.max_grad_norm=-1", Changed, "no clipping is written as a negative number"
		}
		return "optim.max_grad_norm=" + text, Kept, ""
	}},
	"eval_strategy":       {value: strategy("eval.eval_steps")},
	"evaluation_strategy": {value: strategy("eval.eval_steps")},
	"save_strategy":       {value: strategy("save.save_steps")},
	"bf16": {value: func(im *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "model.dtype=bfloat16", Changed, "weights that train and their optimizer stay float32"
		}
		return "", Unused, "ft chooses what the device computes well in; model.dtype decides"
	}},
	"fp16": lostUnless("float16 is not trained in: it overflows; model.dtype: bfloat16 takes as much memory"),
	"tf32": unused("of the device"),
	"gradient_checkpointing": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "model.memory=recompute", Kept, ""
		}
		if strings.EqualFold(text, "false") {
			return "model.memory=save", Kept, ""
		}
		return "model.memory=recompute", Changed, "checkpoints are taken at every block, on the device"
	}},
	"gradient_checkpointing_kwargs": unused("of torch"),
	"use_reentrant_gc":              unused("of torch"),
	"remove_unused_columns":         unused("columns that no one asks for are not read"),
	"group_by_length":               lostUnless("rows are shuffled whatever their length"),
	"neftune_noise_alpha":           lostUnless("no noise is added to embeddings"),
	"label_smoothing_factor":        lostUnless("the cross-entropy has no smoothing"),
	"deepspeed":                     lost("one device trains"),
	"fsdp":                          lostUnless("one device trains"),
	"fsdp_config":                   lost("one device trains"),
	"trust_remote_code":             unused("no code of a model is run"),
	"attn_implementation":           unused("attention is the engine's own, and exact"),
	"liger_kernel":                  unused("the engine's own kernels"),
	"use_liger_kernel":              unused("the engine's own kernels"),
	"overwrite_output_dir":          unused("a run directory is never overwritten; a new run has a new name"),
	"resume_from_checkpoint":        unused("ft train RUN.yaml --resume"),
	"do_train":                      unused(""), "do_eval": unused(""), "run_name": {to: "name"},
	"per_device_eval_batch_size": unused("validation takes batches of the size that training does: its result is the same"),
	"eval_on_start":              unused(""),
	"metric_for_best_model":      unused("the best checkpoint by validation loss is always kept"),
	"load_best_model_at_end":     unused("the best checkpoint is always kept: step-N that ft runs show marks"),
	"greater_is_better":          unused(""), "include_tokens_per_second": unused(""), "average_tokens_across_devices": unused(""),
	"save_only_model": unused("checkpoints always hold what an exact continuation needs"), "save_safetensors": unused("always"),
	"ddp_timeout": unused(""), "local_rank": unused(""),
	"adam_beta1": {to: "optim.adam_beta1"}, "adam_beta2": {to: "optim.adam_beta2"},
}

func schedule(_ *importer, text string) (string, Verdict, string) {
	switch text {
	case "linear", "cosine", "constant":
		return "optim.lr_scheduler_type=" + text, Kept, ""
	case "constant_with_warmup":
		return "optim.lr_scheduler_type=constant", Kept, "the warm-up steps stand beside it"
	}
	return "", Lost, "the schedules are linear, cosine and constant"
}

// optimizer knows the names of transformers and of the tools.
func optimizer(im *importer, text string) (string, Verdict, string) {
	name := strings.ToLower(text)
	switch name {
	case "adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw", "adamw_apex_fused", "adamw_torch_xla":
		return "", Kept, "AdamW"
	case "adamw_bnb_8bit":
		name = "adamw_8bit"
	case "lion_32bit":
		name = "lion"
	}
	if err := im.run.Set("optim.optim=" + name); err != nil {
		return "", Lost, "AdamW in 32 bit is used"
	}
	return "optim.optim=" + name, Kept, ""
}

// strategy reads "no", "steps", "epoch" of evaluating and saving.
func strategy(key string) valued {
	return func(_ *importer, text string) (string, Verdict, string) {
		switch text {
		case "no", "false":
			return key + "=-1", Kept, ""
		case "steps":
			return "", Kept, "the steps stand beside it"
		}
		return "", Changed, fmt.Sprintf("%s: steps decide (%s); zero is ten times a run", text, key)
	}
}

// moduleList reads target modules: a list, a comma list, "all" or "all-linear".
func moduleList(im *importer, text string) (string, Verdict, string) {
	switch strings.Trim(text, "[] ") {
	case "all", "all-linear":
		return "lora.target_modules=all-linear", Kept, ""
	}
	return "lora.target_modules=" + text, Kept, ""
}
