package recipe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ftlab/ftlib"
)

// tables are the keys of each tool that are not named as ours. They are read from the
// tools' own configuration classes: trl 1.16 (trl/trainer/*_config.py, model_config.py),
// axolotl 0.18 (utils/schemas), LLaMA-Factory 0.9.5 (hparams).
var tables map[Tool]map[string]rule

func init() {
	tables = map[Tool]map[string]rule{TRL: trl, Axolotl: axolotl, LLaMAFactory: llamaFactory}
}

var trl = map[string]rule{
	"model_name_or_path": {to: "model.path"},
	"model_revision":     lostUnless("the revision that the hub cache holds is read", "main"),
	"dtype":              {value: dataType}, "torch_dtype": {value: dataType},
	"use_peft": {value: peft("use_peft")},
	"lora_r":   {to: "lora.r"}, "lora_target_modules": {value: moduleList}, "lora_modules_to_save": {to: "lora.modules_to_save"},
	"lora_target_parameters": lost("experts of a mixture"), "lora_task_type": unused(""),
	"use_bnb_nested_quant":   {to: "model.bnb_4bit_use_double_quant"},
	"bnb_4bit_quant_storage": unused("of torch"),
	"dataset_name":           {value: dataset}, "dataset_config": lostUnless("the data set's files are read; name a directory of it", "default"),
	"dataset_train_split": lostUnless("the train files are read", "train"), "dataset_test_split": unused("validation files beside the training ones are found"),
	"dataset_text_field": {value: func(_ *importer, text string) (string, Verdict, string) {
		if text == "text" {
			return "", Kept, "recognised"
		}
		return "data.columns={text: " + text + "}", Kept, ""
	}},
	"dataset_num_proc": unused(""), "dataset_streaming": unused("files are always streamed"), "datasets": lost("several data sets: data.train takes a directory or a glob"),
	"chat_template_path": {to: "data.chat_template"}, "eos_token": unused("the tokenizer's"), "pad_token": unused("padding is masked"), "pad_to_multiple_of": unused(""),
	"assistant_only_loss": {value: trainOn("assistant")}, "completion_only_loss": {value: trainOn("completion")},
	"packing_strategy": unused("packed rows see only themselves"), "padding_free": unused(""), "eval_packing": unused(""), "shuffle_dataset": unused("rows are shuffled; batch.no_shuffle"),
	"truncation_mode":       lostUnless("the beginning is kept", "keep_start"),
	"activation_offloading": unused("of memory"), "use_vllm": unused("answers are sampled by the engine itself"),
	"precompute_ref_log_probs": unused("done once and kept with the data's hash; method.dpo.recompute_ref_log_probs for an adapter"),
	"disable_dropout":          unused("methods of preferences and rewards train without dropout"), "sync_ref_model": lostUnless("the reference stays what it was"),
	"ref_model_mixup_alpha": unused("of sync_ref_model"), "ref_model_sync_steps": unused("of sync_ref_model"),
	"reward_funcs":      lost("write method.grpo.rewards: their kinds are TRL's names, or a Go function"),
	"reward_weights":    lost("write the weight of each reward in method.grpo.rewards"),
	"reward_model_path": lost("write method.ppo.rewards: [{kind: model, path: ...}]"), "sft_model_path": {to: "model.path"},
	"response_length": {to: "M.max_completion_length"}, "steps_per_generation": lost("method.grpo.rollout_batch_size"), "generation_batch_size": lost("method.grpo.rollout_batch_size"),
	"repetition_penalty": lostUnless("sampling has none", "1.0", "1"), "total_episodes": lost("batch.max_steps"),
	"max_prompt_length": {value: func(_ *importer, text string) (string, Verdict, string) {
		return "", Changed, "data.max_length bounds prompt and answer together"
	}},
	"log_completions": unused(""), "num_completions_to_print": unused(""), "temperature": {to: "M.temperature"},
}

var axolotl = map[string]rule{
	"base_model": {to: "model.path"}, "model_type": unused("config.json says it"), "tokenizer_type": unused("tokenizer.json says it"), "base_model_config": unused(""),
	"is_llama_derived_model": unused(""), "adapter": {value: peft("adapter")},
	"lora_r": {to: "lora.r"}, "lora_target_modules": {value: moduleList},
	"lora_target_linear": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "lora.target_modules=all-linear", Kept, ""
		}
		return "", Unused, "off"
	}},
	"lora_modules_to_save": {to: "lora.modules_to_save"}, "peft_use_dora": {to: "lora.use_dora"}, "peft_use_rslora": {to: "lora.use_rslora"}, "peft_init_lora_weights": {to: "lora.init_lora_weights"},
	"lora_model_dir": {to: "model.adapter"}, "loraplus_lr_embedding": unused("of adapters on embeddings"), "lora_fan_in_fan_out": unused(""),
	"lora_mlp_kernel": unused("the engine's own"), "lora_qkv_kernel": unused("the engine's own"), "lora_o_kernel": unused("the engine's own"),
	"datasets": {value: axolotlData}, "test_datasets": lost("data.validation takes one"), "dataset_prepared_path": unused("nothing is cached"), "dataset_processes": unused(""),
	"shuffle_merged_datasets": unused("rows are shuffled"), "val_set_size": {value: held}, "sequence_len": {to: "data.max_length"}, "excess_length_strategy": unused("rows that do not fit are refused, or cut and counted with data.insist"),
	"sample_packing": {to: "data.packing"}, "eval_sample_packing": unused(""), "pad_to_sequence_len": unused("padding is masked"), "sample_packing_bin_size": unused(""), "sample_packing_group_size": unused(""),
	"micro_batch_size": {to: "batch.per_device_train_batch_size"}, "eval_batch_size": unused(""), "num_epochs": {to: "batch.num_train_epochs"},
	"optimizer": {value: optimizer}, "lr_scheduler": {value: schedule}, "train_on_inputs": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "data.train_on=all", Kept, ""
		}
		return "", Kept, "answers alone are trained"
	}},
	"roles_to_train": {value: func(_ *importer, text string) (string, Verdict, string) {
		if strings.Contains(text, "user") || strings.Contains(text, "human") {
			return "data.train_on=all", Changed, "all turns"
		}
		return "data.train_on=assistant", Kept, ""
	}},
	"chat_template": {value: template}, "chat_template_jinja": lost("write the template into a file and name it in data.chat_template"), "default_system_message": {to: "data.system"},
	"gradient_checkpointing": common["gradient_checkpointing"], "flash_attention": unused("attention is exact"), "xformers_attention": unused("attention is exact"), "sdp_attention": unused("attention is exact"), "flex_attention": unused("attention is exact"), "s2_attention": lostUnless("no shifted attention"),
	"evals_per_epoch": perEpoch("eval.eval_steps"), "saves_per_epoch": perEpoch("save.save_steps"),
	"rl": {v: Kept, note: "the method"}, "rl_beta": {to: "M.beta"}, "trl": lost("write its keys below method.grpo"), "simpo_gamma": {to: "M.simpo_gamma"}, "cpo_alpha": {to: "M.cpo_alpha"}, "orpo_alpha": {to: "M.beta"},
	"dpo_label_smoothing": {to: "M.label_smoothing"}, "kto_desirable_weight": {to: "M.desirable_weight"}, "kto_undesirable_weight": {to: "M.undesirable_weight"}, "dpo_use_weighting": {to: "M.use_weighting"},
	"reward_model": {v: Kept, note: "the method"}, "process_reward_model": {v: Kept, note: "the method"}, "center_rewards_coefficient": {to: "M.center_rewards_coefficient"},
	"special_tokens": lost("the tokenizer's own are used"), "tokens": lost("no tokens are added"), "resize_token_embeddings_to_32x": unused(""),
	"strict": unused(""), "debug": unused(""), "deepspeed": lost("one device trains"), "auto_resume_from_checkpoints": unused("ft train --resume"), "early_stopping_patience": {to: "eval.early_stopping_patience"},
	"unfrozen_parameters": lost("model.freeze names what stays"), "relora_steps": lostUnless("no ReLoRA"), "plugins": unused("kernels"), "torch_compile": unused("every step is compiled"), "tokenizer_use_fast": unused(""),
	"eval_table_size": unused(""), "eval_max_new_tokens": unused(""), "save_first_step": unused(""), "wandb_project": unused(""), "use_tensorboard": unused(""), "lora_on_cpu": unused(""), "low_cpu_mem_usage": unused(""), "load_in_16bit": unused(""), "float16": common["fp16"],
}

var llamaFactory = map[string]rule{
	"model_name_or_path": {to: "model.path"}, "adapter_name_or_path": {to: "model.adapter"}, "stage": {v: Kept, note: "the method"}, "finetuning_type": {value: peft("finetuning_type")},
	"lora_rank": {to: "lora.r"}, "lora_target": {value: moduleList}, "additional_target": {to: "lora.modules_to_save"}, "pissa_init": {value: func(im *importer, text string) (string, Verdict, string) {
		if !truth(text) {
			return "", Unused, "off"
		}
		if n := im.text("pissa_iter"); n != "" && n != "-1" {
			return "lora.init_lora_weights=pissa_niter_" + n, Kept, ""
		}
		return "lora.init_lora_weights=pissa", Kept, ""
	}},
	"pissa_iter": unused("of pissa_init"), "pissa_convert": unused(""), "create_new_adapter": lostUnless("model.adapter is continued"), "loraplus_lr_embedding": unused("of adapters on embeddings"),
	"freeze_trainable_layers": lost("model.freeze names what stays"), "freeze_trainable_modules": lost("model.freeze names what stays"), "freeze_extra_modules": lost("model.freeze names what stays"),
	"quantization_bit": {value: func(_ *importer, text string) (string, Verdict, string) {
		switch text {
		case "4":
			return "model.load_in_4bit=true", Kept, ""
		case "8":
			return "model.load_in_8bit=true", Kept, ""
		}
		return "", Lost, "4 or 8 bits"
	}},
	"quantization_type": {to: "model.bnb_4bit_quant_type"}, "double_quantization": {to: "model.bnb_4bit_use_double_quant"}, "quantization_method": lostUnless("bitsandbytes' formats", "bnb", "bitsandbytes"),
	"dataset": {value: func(_ *importer, text string) (string, Verdict, string) {
		return "data.train=" + text, Changed, "LLaMA-Factory looks the name up in dataset_info.json; here it is a file, a directory or a hub name"
	}},
	"dataset_dir": unused("data.train is a path"), "eval_dataset": {to: "data.validation"}, "template": {value: template}, "cutoff_len": {to: "data.max_length"}, "max_samples": {to: "data.limit"}, "val_size": {value: held},
	"train_on_prompt": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "data.train_on=all", Kept, ""
		}
		return "", Kept, "answers alone are trained"
	}},
	"mask_history": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "data.train_on=last", Kept, ""
		}
		return "", Kept, ""
	}},
	"default_system": {to: "data.system"}, "neat_packing": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "data.packing=true", Kept, "packed rows always see only themselves"
		}
		return "", Unused, "off"
	}},
	"overwrite_cache": unused("nothing is cached"), "preprocessing_num_workers": unused(""), "preprocessing_batch_size": unused(""), "tokenized_path": unused("nothing is cached"), "mix_strategy": lost("one data set"), "interleave_probs": lost("one data set"), "streaming": unused("files are always streamed"),
	"buffer_size": unused(""), "ignore_pad_token_for_loss": unused("padding is never trained"), "plot_loss": unused("ft runs compare, notebook.Watch"), "use_fast_tokenizer": unused(""), "resize_vocab": lostUnless("no tokens are added"), "new_special_tokens": lost("no tokens are added"), "split_special_tokens": lostUnless("special tokens are one token"),
	"flash_attn": unused("attention is exact"), "enable_liger_kernel": unused("the engine's own"), "shift_attn": lostUnless("no shifted attention"), "rope_scaling": lostUnless("config.json decides"), "use_unsloth": unused("the engine's own"), "use_unsloth_gc": unused(""), "upcast_layernorm": unused("norms are computed in float32"), "upcast_lmhead_output": unused(""), "disable_gradient_checkpointing": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "model.memory=save", Kept, ""
		}
		return "", Unused, "off"
	}},
	"pref_beta": {to: "M.beta"}, "pref_loss": {v: Kept, note: "the method"}, "pref_ftx": lostUnless("no likelihood beside it; method.dpo.loss_type: [sigmoid, sft] with loss_weights", "0.0"), "dpo_label_smoothing": {to: "M.label_smoothing"}, "simpo_gamma": {to: "M.simpo_gamma"}, "kto_chosen_weight": {to: "M.desirable_weight"}, "kto_rejected_weight": {to: "M.undesirable_weight"},
	"ref_model": {to: "M.ref_model"}, "ref_model_adapters": {to: "M.ref_model"}, "ref_model_quantization_bit": unused(""), "ld_alpha": {to: "M.ld_alpha"}, "reward_model": lost("write method.ppo.rewards: [{kind: model, path: ...}]"), "reward_model_type": unused("of reward_model"),
	"ppo_epochs": {to: "M.num_ppo_epochs"}, "ppo_target": {to: "M.kl_target"}, "ppo_buffer_size": lost("method.ppo.rollout_batch_size"), "ppo_whiten_rewards": {to: "M.whiten_rewards"}, "ppo_score_norm": lostUnless("rewards are not scaled"), "max_new_tokens": {to: "M.max_completion_length"}, "top_p": {to: "M.top_p"}, "top_k": {to: "M.top_k"},
	"use_galore": lostUnless("no GaLore"), "use_apollo": lostUnless("no APOLLO"), "use_badam": lostUnless("no BAdam"), "use_adam_mini": lostUnless("no Adam-mini"), "use_muon": lostUnless("no Muon"), "use_dft_loss": {value: func(_ *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "M.loss_type=dft", Kept, ""
		}
		return "", Unused, "off"
	}},
	"use_llama_pro": lostUnless("no block expansion"), "pure_bf16": lostUnless("weights that train stay float32"), "infer_backend": unused(""), "use_swanlab": unused(""), "include_effective_tokens_per_second": unused(""), "compute_accuracy": unused("always"), "ray_run_name": unused(""),
}

// peft turns adapters on; the section was made before the file was read.
func peft(key string) valued {
	return func(im *importer, text string) (string, Verdict, string) {
		switch strings.ToLower(text) {
		case "true", "lora":
			return "", Kept, "lora"
		case "qlora":
			if !im.has("load_in_4bit") {
				return "model.load_in_4bit=true", Kept, "lora on four bits"
			}
			return "", Kept, "lora on four bits"
		case "false", "full":
			return "", Kept, "all weights are trained"
		}
		return "", Lost, fmt.Sprintf("%s: %s; lora, or all weights", key, text)
	}
}

func dataType(_ *importer, text string) (string, Verdict, string) {
	switch strings.TrimPrefix(text, "torch.") {
	case "auto":
		return "", Changed, "bfloat16 for an adapter on a GPU, else float32"
	case "float16", "half":
		return "model.dtype=bfloat16", Changed, "float16 is not trained in: it overflows"
	}
	return "model.dtype=" + strings.TrimPrefix(text, "torch."), Kept, ""
}

func dataset(_ *importer, text string) (string, Verdict, string) {
	return "data.train=" + text, Kept, ""
}

func trainOn(what string) valued {
	return func(im *importer, text string) (string, Verdict, string) {
		if truth(text) {
			return "data.train_on=" + what, Kept, ""
		}
		if what == "completion" {
			return "data.train_on=all", Kept, ""
		}
		return "", Kept, ""
	}
}

// held reads a share or a number of rows for validation.
func held(_ *importer, text string) (string, Verdict, string) {
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return "", Lost, "a share or a number of rows is expected"
	case v == 0:
		return "data.validation_split=-1", Kept, ""
	case v >= 1:
		return "", Lost, "a number of rows; data.validation_split is a share"
	}
	return "data.validation_split=" + text, Kept, ""
}

// template reads the name of a chat template.
func template(_ *importer, text string) (string, Verdict, string) {
	switch text {
	case "default", "tokenizer_default", "empty":
		return "", Kept, "the tokenizer's own"
	}
	return "data.chat_template=" + text, Changed, "a built-in name or a file: ft data show says whether it is known, and shows every token"
}

func perEpoch(key string) rule {
	return rule{value: func(_ *importer, text string) (string, Verdict, string) {
		if text == "0" {
			return key + "=-1", Kept, ""
		}
		return "", Changed, key + " counts steps; zero is ten times a run"
	}}
}

// axolotlData reads the list of data sets.
func axolotlData(im *importer, _ string) (string, Verdict, string) {
	n := im.keys["datasets"]
	var paths, notes []string
	for _, d := range n.Content {
		path, kind := "", ""
		for i := 0; i+1 < len(d.Content); i += 2 {
			switch v := flow(d.Content[i+1]); d.Content[i].Value {
			case "path":
				path = v
			case "data_files":
				path = strings.Trim(v, "[]")
			case "type":
				kind = v
			case "split", "ds_type", "name":
			default:
				notes = append(notes, d.Content[i].Value)
			}
		}
		if kind != "" {
			notes = append(notes, "type "+kind)
		}
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		return "", Lost, "no data set"
	}
	note := "the format is recognised from the rows; data.format and data.columns override it"
	if len(notes) > 0 {
		note += " (" + strings.Join(notes, ", ") + ")"
	}
	if len(paths) > 1 {
		return "data.train=" + paths[0], Changed, fmt.Sprintf("the first of %d data sets; put the files into one directory", len(paths))
	}
	return "data.train=" + paths[0], Changed, note
}

// chooseMethod finds the method and makes its section, and that of adapters.
func (im *importer) chooseMethod(tool Tool, asked string) error {
	m, more := "sft", ""
	adapter := false
	switch tool {
	case TRL:
		adapter = im.on("use_peft")
		for _, guess := range [][2]string{{"num_ppo_epochs", "ppo"}, {"num_generations", "grpo"}, {"desirable_weight", "kto"}, {"cpo_alpha", "cpo"}, {"center_rewards_coefficient", "reward"}, {"step_separator", "prm"}, {"beta", "dpo"}, {"precompute_ref_log_probs", "dpo"}} {
			if im.has(guess[0]) {
				m = guess[1]
				break
			}
		}
	case Axolotl:
		adapter = im.has("adapter")
		switch rl := im.text("rl"); rl {
		case "", "false":
			if im.on("reward_model") {
				m = "reward"
			} else if im.on("process_reward_model") {
				m = "prm"
			}
		case "ipo":
			m, more = "dpo", "method.dpo.loss_type=ipo"
		case "simpo":
			m, more = "cpo", "method.cpo.loss_type=simpo"
		default:
			m = rl
		}
	case LLaMAFactory:
		adapter = im.text("finetuning_type") == "lora" || !im.has("finetuning_type")
		switch stage := im.text("stage"); stage {
		case "", "sft", "pt":
			if stage == "pt" {
				more = "data.train_on=all"
			}
		case "rm":
			m = "reward"
		case "dpo":
			switch loss := im.text("pref_loss"); loss {
			case "orpo":
				m = "orpo"
			case "simpo":
				m, more = "cpo", "method.cpo.loss_type=simpo"
			case "", "sigmoid":
				m = "dpo"
			case "kto_pair":
				return fmt.Errorf("pref_loss: kto_pair is not there; stage: kto trains on single answers")
			default:
				m, more = "dpo", "method.dpo.loss_type="+loss
			}
		default:
			m = stage
		}
	}
	if asked != "" {
		m = asked
	}
	if !slices.ContainsFunc(ftlib.Keys(), func(k string) bool { return strings.HasPrefix(k, "method."+m+".") }) {
		return fmt.Errorf("the method %q is not there: sft, reward, dpo, kto, orpo, cpo, prm, ppo, grpo, rloo, star", m)
	}
	im.method = m
	if err := im.run.Set("method=" + m); err != nil {
		return err
	}
	if adapter {
		im.run.LoRA = &ftlib.LoRA{}
	}
	if more != "" {
		key, _, _ := strings.Cut(more, "=")
		im.used[key] = true
		return im.run.Set(more)
	}
	return nil
}

// defaults are those of a tool that differ from ours, for this method.
func (im *importer) defaults(tool Tool) [][2]string {
	var out [][2]string
	add := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, [2]string{pairs[i], pairs[i+1]})
		}
	}
	steps := im.used["batch.max_steps"]
	switch tool {
	case TRL:
		rate := map[string]string{"sft": "2e-5", "reward": "1e-4", "prm": "1e-5", "ppo": "3e-6"}[im.method]
		if rate == "" {
			rate = "1e-6"
		}
		add("optim.learning_rate", rate, "batch.per_device_train_batch_size", "8", "eval.eval_steps", "-1", "save.save_steps", "500")
		if !steps {
			add("batch.num_train_epochs", "3")
		}
		if im.run.LoRA != nil {
			add("lora.lora_dropout", "0.05", "lora.target_modules", "q_proj,v_proj")
		}
		switch im.method {
		case "grpo", "rloo":
			add("M.max_completion_length", "512")
		case "ppo":
			add("M.max_completion_length", "53", "M.temperature", "0.7")
		}
	case Axolotl:
		add("data.max_length", "512", "batch.per_device_train_batch_size", "1", "optim.lr_scheduler_type", "cosine")
		if im.run.LoRA != nil && im.run.Model.Load4Bit {
			add("model.bnb_4bit_use_double_quant", "true")
		}
	case LLaMAFactory:
		add("data.max_length", "2048", "optim.learning_rate", "5e-5", "batch.per_device_train_batch_size", "8", "save.save_steps", "500")
		if !steps {
			add("batch.num_train_epochs", "3")
		}
		if !im.used["data.validation"] {
			add("data.validation_split", "-1")
		}
		if im.run.LoRA != nil {
			add("lora.r", "8")
		}
		if im.run.Model.Load4Bit {
			add("model.bnb_4bit_use_double_quant", "true")
		}
	}
	return out
}
