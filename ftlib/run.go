package ftlib

// Run is everything that decides a fine-tuning run. It encodes to JSON and YAML
// under the field names that TRL, PEFT and transformers use. The zero value of
// every field means what its comment says; [Run.Resolve] writes those values in.
type Run struct {
	Name string `json:"name,omitempty" yaml:"name,omitempty"`             // directory below Out; zero: method, data set and time
	Out  string `json:"output_dir,omitempty" yaml:"output_dir,omitempty"` // where runs are kept; zero: "runs"
	Seed int64  `json:"seed,omitempty" yaml:"seed,omitempty"`             // of shuffling, dropout, initialisation, sampling; zero: 42

	ReportTo []string `json:"report_to,omitempty" yaml:"report_to,omitempty"` // besides metrics.jsonl: "tensorboard" writes event files into the run's directory

	Model  Model  `json:"model" yaml:"model"`
	Data   Data   `json:"data" yaml:"data"`
	LoRA   *LoRA  `json:"lora,omitempty" yaml:"lora,omitempty"` // nil: full fine-tuning
	Method Method `json:"method,omitempty" yaml:"method,omitempty"`
	Optim  Optim  `json:"optim,omitempty" yaml:"optim,omitempty"`
	Batch  Batch  `json:"batch,omitempty" yaml:"batch,omitempty"`
	Eval   Eval   `json:"eval,omitempty" yaml:"eval,omitempty"`
	Save   Save   `json:"save,omitempty" yaml:"save,omitempty"`

	Parent *Parent `json:"parent,omitempty" yaml:"parent,omitempty"` // set on a branch of another run; zero: trained from the model
}

// Parent says where a branched run was taken from.
type Parent struct {
	Run  string `json:"run" yaml:"run"`   // directory of the run
	Step int    `json:"step" yaml:"step"` // checkpoint that the branch began with
}

// Model names the base model and how it is held.
type Model struct {
	Path        string   `json:"path" yaml:"path"`                                                               // a directory, a llama2.c .bin file, or a hub name "owner/name"
	Adapter     string   `json:"adapter,omitempty" yaml:"adapter,omitempty"`                                     // a PEFT adapter directory to continue from; zero: none
	DType       string   `json:"dtype,omitempty" yaml:"dtype,omitempty"`                                         // compute type: "float32", "bfloat16"; zero: bfloat16 for an adapter on a GPU, else float32
	Backend     string   `json:"backend,omitempty" yaml:"backend,omitempty"`                                     // "xla:cuda", "xla:cpu", "go"; zero: the best that works
	Memory      string   `json:"memory,omitempty" yaml:"memory,omitempty"`                                       // what is kept for the backward pass: "save": all activations; "recompute_mlp": those of attention; "recompute_halves": the inputs of both halves of a block; "recompute": block inputs only; zero: save where it fits, else recompute
	Offload     bool     `json:"offload_activations,omitempty" yaml:"offload_activations,omitempty"`             // what is kept waits in host memory
	Stream      string   `json:"stream,omitempty" yaml:"stream,omitempty"`                                       // frozen linear layers are brought block by block while they compute: "file": from the model's files, "host": from host memory; zero: all are on the device
	Load4Bit    bool     `json:"load_in_4bit,omitempty" yaml:"load_in_4bit,omitempty"`                           // hold the linear layers in four bits, as QLoRA does (Dettmers et al. 2023); needs lora or an adapter
	Load8Bit    bool     `json:"load_in_8bit,omitempty" yaml:"load_in_8bit,omitempty"`                           // in eight bits, one scale a row
	QuantType   string   `json:"bnb_4bit_quant_type,omitempty" yaml:"bnb_4bit_quant_type,omitempty"`             // "nf4", "fp4"; zero: nf4
	DoubleQuant bool     `json:"bnb_4bit_use_double_quant,omitempty" yaml:"bnb_4bit_use_double_quant,omitempty"` // the scales in eight bits too
	QuantBlock  int      `json:"bnb_4bit_blocksize,omitempty" yaml:"bnb_4bit_blocksize,omitempty"`               // weights that share a scale; zero: 64
	Freeze      []string `json:"freeze,omitempty" yaml:"freeze,omitempty"`                                       // full fine-tuning only: parts that stay as they are, as weights are named: "embed_tokens", "layers.0", "mlp"; zero: none
	NewTokens   []string `json:"new_tokens,omitempty" yaml:"new_tokens,omitempty"`                               // tokens that the tokenizer and the vocabulary get, "<think>"; their rows begin as the mean of the others and are trained with an adapter too; zero: none
}

// Data names the rows and how they become token sequences.
type Data struct {
	Train      string            `json:"train" yaml:"train"`                                           // file, directory, glob or hub data set
	Validation string            `json:"validation,omitempty" yaml:"validation,omitempty"`             // zero: the validation files that Train has beside it, else split from it
	Split      float64           `json:"validation_split,omitempty" yaml:"validation_split,omitempty"` // fraction; zero: 0.1 when Validation is empty; negative: no validation
	Limit      int               `json:"limit,omitempty" yaml:"limit,omitempty"`                       // first rows of the shuffled data only; zero: all
	Format     string            `json:"format,omitempty" yaml:"format,omitempty"`                     // a corpus kind; zero: recognised from all rows
	Columns    map[string]string `json:"columns,omitempty" yaml:"columns,omitempty"`                   // field -> column, where recognition must be overridden
	Template   string            `json:"chat_template,omitempty" yaml:"chat_template,omitempty"`       // a built-in name or a file; zero: the tokenizer's own
	System     string            `json:"system,omitempty" yaml:"system,omitempty"`                     // system message put before conversations without one; zero: none
	Prompt     string            `json:"prompt_format,omitempty" yaml:"prompt_format,omitempty"`       // how problems and plain prompts are written, with {prompt} in it; zero: the chat template, or as they stand
	Answer     string            `json:"answer_format,omitempty" yaml:"answer_format,omitempty"`       // how worked solutions are written, with {rationale} and {answer} in it; zero: the rationale, then "#### " and the answer
	TrainOn    string            `json:"train_on,omitempty" yaml:"train_on,omitempty"`                 // "assistant", "completion", "all", "last"; zero: assistant turns or completions, all of plain text
	MaxLength  int               `json:"max_length,omitempty" yaml:"max_length,omitempty"`             // tokens a row; zero: 1024 or the model's limit, if lower
	Packing    bool              `json:"packing,omitempty" yaml:"packing,omitempty"`                   // several rows to a sequence, each seeing only itself
	Insist     bool              `json:"insist,omitempty" yaml:"insist,omitempty"`                     // train although rows were refused (they are left out and counted)
}

// LoRA describes low-rank adapters (Hu et al. 2021) with the names of PEFT's LoraConfig.
type LoRA struct {
	R       int      `json:"r,omitempty" yaml:"r,omitempty"`                           // rank; zero: 16
	Alpha   float64  `json:"lora_alpha,omitempty" yaml:"lora_alpha,omitempty"`         // zero: 2 R
	Dropout float64  `json:"lora_dropout,omitempty" yaml:"lora_dropout,omitempty"`     // on the adapter's input; zero: none
	Targets []string `json:"target_modules,omitempty" yaml:"target_modules,omitempty"` // projection names, or "all-linear"; zero: all-linear
	Bias    string   `json:"bias,omitempty" yaml:"bias,omitempty"`                     // "none", "all", "lora_only"; zero: none
	RSLoRA  bool     `json:"use_rslora,omitempty" yaml:"use_rslora,omitempty"`         // scale by alpha/sqrt(r) (Kalajdzievski 2023)
	DoRA    bool     `json:"use_dora,omitempty" yaml:"use_dora,omitempty"`             // weight-decomposed (Liu et al. 2024)

	Init         string             `json:"init_lora_weights,omitempty" yaml:"init_lora_weights,omitempty"`             // how A and B begin: "true" (A Kaiming uniform, B zero), "gaussian", "pissa", "pissa_niter_4" (any number of iterations: faster on wide layers), "olora"; zero: true
	RankPattern  map[string]int     `json:"rank_pattern,omitempty" yaml:"rank_pattern,omitempty"`                       // module name or regular expression -> r of its own; zero: r everywhere
	AlphaPattern map[string]float64 `json:"alpha_pattern,omitempty" yaml:"alpha_pattern,omitempty"`                     // the same for lora_alpha; zero: lora_alpha everywhere
	SaveModules  []string           `json:"modules_to_save,omitempty" yaml:"modules_to_save,omitempty"`                 // trained whole and saved with the adapter: "embed_tokens", "lm_head", "score"; zero: none but the score head that a method adds
	Tokens       map[string][]int   `json:"trainable_token_indices,omitempty" yaml:"trainable_token_indices,omitempty"` // tokens whose rows alone are trained, by module: "embed_tokens", "lm_head" (where it is not the embedding); zero: model.new_tokens
}

// Optim holds the optimizer and its schedule. Defaults are torch's AdamW.
type Optim struct {
	Optim        string   `json:"optim,omitempty" yaml:"optim,omitempty"`                         // by transformers' name: "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "lion", "lion_8bit", "paged_lion_8bit", "paged_lion_32bit", "sgd", "adafactor"; zero: adamw_torch
	LearningRate float64  `json:"learning_rate,omitempty" yaml:"learning_rate,omitempty"`         // zero: 2e-4 with LoRA or an adapter, 2e-5 without
	Schedule     string   `json:"lr_scheduler_type,omitempty" yaml:"lr_scheduler_type,omitempty"` // "linear", "cosine", "constant"; zero: linear
	WarmupSteps  int      `json:"warmup_steps,omitempty" yaml:"warmup_steps,omitempty"`           // zero: WarmupRatio decides
	WarmupRatio  float64  `json:"warmup_ratio,omitempty" yaml:"warmup_ratio,omitempty"`           // of all steps; zero: none
	WeightDecay  float64  `json:"weight_decay,omitempty" yaml:"weight_decay,omitempty"`           // on matrices and DoRA's magnitudes, never on norms and biases; zero: none
	Beta1        *float64 `json:"adam_beta1,omitempty" yaml:"adam_beta1,omitempty"`               // nil: 0.9
	Beta2        *float64 `json:"adam_beta2,omitempty" yaml:"adam_beta2,omitempty"`               // nil: 0.999, for lion 0.99
	Epsilon      float64  `json:"adam_epsilon,omitempty" yaml:"adam_epsilon,omitempty"`           // zero: 1e-8
	LoRAPlus     float64  `json:"loraplus_lr_ratio,omitempty" yaml:"loraplus_lr_ratio,omitempty"` // LoRA+ (Hayou et al. 2024): how many times learning_rate the B matrices learn at; zero: 1
	Momentum     float64  `json:"momentum,omitempty" yaml:"momentum,omitempty"`                   // of sgd; zero: none, and no state
	MaxGradNorm  float64  `json:"max_grad_norm,omitempty" yaml:"max_grad_norm,omitempty"`         // zero: 1; negative: no clipping
}

// Batch says how examples are grouped and for how long they are trained on.
type Batch struct {
	Size       int     `json:"per_device_train_batch_size,omitempty" yaml:"per_device_train_batch_size,omitempty"` // sequences a micro-batch; zero: 4
	Accumulate int     `json:"gradient_accumulation_steps,omitempty" yaml:"gradient_accumulation_steps,omitempty"` // micro-batches a step; zero: 1
	Epochs     float64 `json:"num_train_epochs,omitempty" yaml:"num_train_epochs,omitempty"`                       // zero: 1
	MaxSteps   int     `json:"max_steps,omitempty" yaml:"max_steps,omitempty"`                                     // zero: Epochs decides
	NoShuffle  bool    `json:"no_shuffle,omitempty" yaml:"no_shuffle,omitempty"`                                   // keep the order of the file
}

// Eval says when validation runs and when it stops the run.
type Eval struct {
	Every    int `json:"eval_steps,omitempty" yaml:"eval_steps,omitempty"`                           // steps; zero: ten times a run; negative: never
	Rows     int `json:"max_eval_rows,omitempty" yaml:"max_eval_rows,omitempty"`                     // zero: 200
	Patience int `json:"early_stopping_patience,omitempty" yaml:"early_stopping_patience,omitempty"` // evaluations without improvement; zero: no early stopping
}

// Save says when checkpoints are written and which are kept.
type Save struct {
	Every  int  `json:"save_steps,omitempty" yaml:"save_steps,omitempty"`             // steps; zero: with every evaluation (ten times a run without one); negative: only at the end
	Keep   int  `json:"save_total_limit,omitempty" yaml:"save_total_limit,omitempty"` // last ones; the best by validation loss is kept besides; zero: 2; negative: all
	Merged bool `json:"save_merged,omitempty" yaml:"save_merged,omitempty"`           // write merged weights at the end as well
}
