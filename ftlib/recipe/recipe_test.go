package recipe

import (
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
)

const llamaFactoryFile = `### model
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
trust_remote_code: true
quantization_bit: 4

### method
stage: dpo
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
pref_beta: 0.3
pref_loss: ipo

### dataset
dataset: dpo_en_demo
template: llama3
cutoff_len: 1024
max_samples: 1000

### output
output_dir: saves/dpo
plot_loss: true

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 5.0e-6
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
flash_attn: fa2
neftune_noise_alpha: 5
use_galore: false
made_up: 1
`

const axolotlFile = `base_model: NousResearch/Llama-2-7b-hf
load_in_4bit: true
adapter: qlora
datasets:
  - path: mhenrichsen/alpaca_2k_test
    type: alpaca
val_set_size: 0.05
sequence_len: 4096
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
micro_batch_size: 2
num_epochs: 4
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
gradient_checkpointing: true
evals_per_epoch: 4
wandb_project:
special_tokens: {pad_token: "<pad>"}
`

const trlFile = `model_name_or_path: Qwen/Qwen2.5-0.5B
dataset_name: trl-lib/ultrafeedback_binarized
use_peft: true
lora_r: 32
beta: 0.05
loss_type: [sigmoid, sft]
loss_weights: [1.0, 0.2]
max_steps: -1
fp16: true
eval_strategy: "no"
max_grad_norm: 0
report_to: wandb
`

func find(t *testing.T, r Report, key string) Entry {
	t.Helper()
	for _, e := range r.Entries {
		if e.Key == key {
			return e
		}
	}
	t.Fatalf("nothing is said of %s", key)
	return Entry{}
}

func settings(r ftlib.Run) map[string]string {
	out := map[string]string{}
	for _, s := range r.Settings() {
		out[s[0]] = s[1]
	}
	return out
}

func TestImport(t *testing.T) {
	for _, c := range []struct {
		name, text string
		tool       Tool
		settings   string // key=value, one a word
		lost       string
		defaults   string
	}{
		{"llama-factory", llamaFactoryFile, LLaMAFactory,
			"model.path=meta-llama/Meta-Llama-3-8B-Instruct model.load_in_4bit=true model.bnb_4bit_use_double_quant=true lora.r=8 lora.target_modules=all-linear method.dpo.beta=0.3 method.dpo.loss_type=ipo data.train=dpo_en_demo data.chat_template=llama3 data.max_length=1024 data.limit=1000 output_dir=saves/dpo batch.per_device_train_batch_size=1 batch.gradient_accumulation_steps=8 optim.learning_rate=5e-06 batch.num_train_epochs=3 optim.lr_scheduler_type=cosine optim.warmup_ratio=0.1 model.dtype=bfloat16 data.validation_split=-1 save.save_steps=500",
			"neftune_noise_alpha made_up", "save.save_steps data.validation_split model.bnb_4bit_use_double_quant"},
		{"axolotl", axolotlFile, Axolotl,
			"model.path=NousResearch/Llama-2-7b-hf model.load_in_4bit=true model.bnb_4bit_use_double_quant=true lora.r=32 lora.lora_alpha=16 lora.lora_dropout=0.05 lora.target_modules=all-linear data.train=mhenrichsen/alpaca_2k_test data.validation_split=0.05 data.max_length=4096 data.packing=true batch.per_device_train_batch_size=2 batch.num_train_epochs=4 optim.lr_scheduler_type=cosine optim.learning_rate=0.0002 model.memory=recompute",
			"special_tokens", "model.bnb_4bit_use_double_quant"},
		{"trl", trlFile, TRL,
			"model.path=Qwen/Qwen2.5-0.5B data.train=trl-lib/ultrafeedback_binarized lora.r=32 lora.lora_dropout=0.05 lora.target_modules=q_proj,v_proj method.dpo.beta=0.05 method.dpo.loss_type=sigmoid,sft method.dpo.loss_weights=1,0.2 optim.learning_rate=1e-06 optim.max_grad_norm=-1 batch.per_device_train_batch_size=8 batch.num_train_epochs=3 eval.eval_steps=-1 save.save_steps=500",
			"fp16", "optim.learning_rate batch.per_device_train_batch_size save.save_steps batch.num_train_epochs lora.lora_dropout lora.target_modules"},
	} {
		run, report, err := Import([]byte(c.text), c.name+".yaml", "")
		if err != nil || report.Tool != c.tool {
			t.Errorf("%s: %v, %s", c.name, err, report.Tool)
			continue
		}
		got := settings(run)
		for _, want := range strings.Fields(c.settings) {
			key, value, _ := strings.Cut(want, "=")
			if got[key] != value {
				t.Errorf("%s: %s is %q, want %q", c.name, key, got[key], value)
			}
			delete(got, key)
		}
		if len(got) > 0 {
			t.Errorf("%s: set besides: %v", c.name, got)
		}
		var lost, defaults []string
		for _, e := range report.Entries {
			switch e.Verdict {
			case Lost:
				lost = append(lost, e.Key)
			case Default:
				defaults = append(defaults, e.Key)
			}
		}
		slices.Sort(lost)
		want := strings.Fields(c.lost)
		slices.Sort(want)
		if !slices.Equal(lost, want) {
			t.Errorf("%s: lost %q, want %q", c.name, lost, want)
		}
		slices.Sort(defaults)
		want = strings.Fields(c.defaults)
		slices.Sort(want)
		if !slices.Equal(defaults, want) {
			t.Errorf("%s: defaults %q, want %q", c.name, defaults, want)
		}
		if err := run.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		// Every line of the file is spoken of, once.
		lines := 0
		for line := range strings.SplitSeq(c.text, "\n") {
			if line != "" && line[0] != '#' && line[0] != ' ' {
				lines++
			}
		}
		for _, e := range report.Entries {
			if e.Line > 0 {
				lines--
			}
		}
		if lines != 0 {
			t.Errorf("%s: %d lines more than entries", c.name, lines)
		}
	}
}

// What the tables point to is there, and every default can be set: for each method of each tool.
func TestTables(t *testing.T) {
	keys := ftlib.Keys()
	for tool, table := range tables {
		for name, r := range table {
			to := strings.TrimPrefix(r.to, "M.")
			if r.to == "" || slices.Contains(keys, to) {
				continue
			}
			if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "method.") && strings.HasSuffix(k, "."+to) }) {
				t.Errorf("%s: %s becomes %s, which is no key of a run", tool, name, r.to)
			}
		}
	}
	for _, method := range []string{"sft", "reward", "dpo", "kto", "orpo", "cpo", "prm", "ppo", "grpo", "rloo"} {
		for _, text := range []string{"model_name_or_path: m\nuse_peft: true", "base_model: m\nadapter: qlora\nload_in_4bit: true", "model_name_or_path: m\nstage: sft\nquantization_bit: 4"} {
			run, report, err := Import([]byte(text), "f.yaml", method)
			if err != nil || run.Method.Name() != method || len(report.Lost()) > 0 {
				t.Errorf("%s %s: %v, %+v", method, report.Tool, err, report.Lost())
			}
			run.Data.Train = "d"
			if err := run.Validate(); err != nil {
				t.Errorf("%s %s: %v", method, report.Tool, err)
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		text, key string
		want      Verdict
		note      string
	}{
		{"model_name_or_path: m\nlr_scheduler_type: cosine_with_min_lr", "lr_scheduler_type", Lost, "linear, cosine and constant"},
		{"model_name_or_path: m\nlearning_rate: fast", "learning_rate", Lost, "not a number"},
		{"model_name_or_path: m\nuse_peft: true\nlora_dropout: 2", "lora_dropout", Lost, "lora.lora_dropout"},
		{"model_name_or_path: m\nlora_dropout: 0.1", "lora_dropout", Unused, "no adapter"},
		{"model_name_or_path: m\nlora_r: 8", "lora_r", Unused, "no adapter"},
		{"model_name_or_path: m\ndataset_train_split: train", "dataset_train_split", Unused, ""},
		{"model_name_or_path: m\ndataset_train_split: test_sft", "dataset_train_split", Lost, ""},
		{"model_name_or_path: m\nlogging_steps: 1", "logging_steps", Unused, ""},
		{"model_name_or_path: m\nseed:", "seed", Unused, "empty"},
		{"model_name_or_path: m\nassistant_only_loss: true", "assistant_only_loss", Kept, ""},
		{"base_model: m\ndatasets: [{path: a}, {path: b}]", "datasets", Changed, "the first of 2"},
		{"base_model: m\nval_set_size: 100", "val_set_size", Lost, "a number of rows"},
	} {
		_, report, err := Import([]byte(c.text), "f.yaml", "")
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if e := find(t, report, c.key); e.Verdict != c.want || !strings.Contains(e.Note, c.note) {
			t.Errorf("%s: %+v, want %s %q", c.text, e, c.want, c.note)
		}
	}
	for text, want := range map[string]string{
		"":                                "no settings",
		"a: [":                            "line 1",
		"lr: 1":                           "names no model",
		"model: {path: m}":                "a run file already",
		"model_name_or_path: m\nstage: x": `"x" is not there`,
	} {
		if _, _, err := Import([]byte(text), "f.yaml", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
