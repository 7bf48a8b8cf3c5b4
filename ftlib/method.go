package ftlib

// Method says what is trained for: exactly one field is set; none means SFT. In a file
// "method: dpo" is a method with its defaults, and "method: {dpo: {beta: 0.3}}" one with settings.
type Method struct {
	SFT    *SFT    `json:"sft,omitempty" yaml:"sft,omitempty"`       // supervised fine-tuning
	Reward *Reward `json:"reward,omitempty" yaml:"reward,omitempty"` // a reward model of preference pairs or rankings
	DPO    *DPO    `json:"dpo,omitempty" yaml:"dpo,omitempty"`       // direct preference optimization and its relatives
	KTO    *KTO    `json:"kto,omitempty" yaml:"kto,omitempty"`       // preference optimization of single answers, good or bad
	ORPO   *ORPO   `json:"orpo,omitempty" yaml:"orpo,omitempty"`     // odds ratio preference optimization
	CPO    *CPO    `json:"cpo,omitempty" yaml:"cpo,omitempty"`       // contrastive preference optimization, SimPO, AlphaPO
	PRM    *PRM    `json:"prm,omitempty" yaml:"prm,omitempty"`       // a process reward model of labelled steps
	PPO    *PPO    `json:"ppo,omitempty" yaml:"ppo,omitempty"`       // proximal policy optimization (RLHF)
	GRPO   *GRPO   `json:"grpo,omitempty" yaml:"grpo,omitempty"`     // group relative policy optimization
	RLOO   *RLOO   `json:"rloo,omitempty" yaml:"rloo,omitempty"`     // REINFORCE with a leave-one-out baseline
	STaR   *STaR   `json:"star,omitempty" yaml:"star,omitempty"`     // self-taught reasoner: rationales of its own that are right
}

// SFT is supervised fine-tuning: next-token cross-entropy over the trained tokens.
type SFT struct {
	Loss string `json:"loss_type,omitempty" yaml:"loss_type,omitempty"` // "nll", "dft" (Wu et al. 2025); zero: nll
}

// Reward is a reward model: a score head on the last token, trained with the
// Bradley-Terry loss (Ouyang et al. 2022). Names are those of TRL's RewardConfig.
type Reward struct {
	CenterRewards float64 `json:"center_rewards_coefficient,omitempty" yaml:"center_rewards_coefficient,omitempty"` // of λ(r_c + r_r)²; 0.01 keeps scores around 0; zero: none
	Listwise      bool    `json:"listwise,omitempty" yaml:"listwise,omitempty"`                                     // ranking lists by the Plackett-Luce loss instead of as pairs
}

// DPO is direct preference optimization (Rafailov et al. 2023). Names are those of TRL's
// DPOConfig; the formulas are in package loss.
type DPO struct {
	LossType       []string  `json:"loss_type,omitempty" yaml:"loss_type,omitempty"`                             // one or several of sigmoid, hinge, ipo, exo_pair, nca_pair, robust, bco_pair, sppo_hard, aot, aot_unpaired, apo_zero, apo_down, discopop, sft, sigmoid_norm; zero: sigmoid
	LossWeights    []float64 `json:"loss_weights,omitempty" yaml:"loss_weights,omitempty"`                       // of several loss types; zero: 1 each
	Beta           float64   `json:"beta,omitempty" yaml:"beta,omitempty"`                                       // how strongly the reference holds; zero: 0.1
	LabelSmoothing float64   `json:"label_smoothing,omitempty" yaml:"label_smoothing,omitempty"`                 // share of pairs the wrong way round; only robust, exo_pair and aot look at it
	Divergence     string    `json:"f_divergence_type,omitempty" yaml:"f_divergence_type,omitempty"`             // "reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"; zero: reverse_kl
	Alpha          float64   `json:"f_alpha_divergence_coef,omitempty" yaml:"f_alpha_divergence_coef,omitempty"` // of alpha_divergence; zero: 0.5
	LDAlpha        *float64  `json:"ld_alpha,omitempty" yaml:"ld_alpha,omitempty"`                               // weight of tokens beyond the shorter answer's length; nil: 1
	Weighting      bool      `json:"use_weighting,omitempty" yaml:"use_weighting,omitempty"`                     // WPO: pairs weigh as much as the policy would write them
	DiscopopTau    float64   `json:"discopop_tau,omitempty" yaml:"discopop_tau,omitempty"`                       // zero: 0.05
	Reference      string    `json:"ref_model,omitempty" yaml:"ref_model,omitempty"`                             // an adapter directory as the reference; zero: the model as it was before this run
	Recompute      bool      `json:"recompute_ref_log_probs,omitempty" yaml:"recompute_ref_log_probs,omitempty"` // the reference at every step instead of once for each pair; needs an adapter
}

// KTO is Kahneman-Tversky optimization (Ethayarajh et al. 2024). Names are those of TRL's KTOConfig.
type KTO struct {
	LossType          string  `json:"loss_type,omitempty" yaml:"loss_type,omitempty"`                   // "kto", "apo_zero_unpaired"; zero: kto
	Beta              float64 `json:"beta,omitempty" yaml:"beta,omitempty"`                             // zero: 0.1
	DesirableWeight   float64 `json:"desirable_weight,omitempty" yaml:"desirable_weight,omitempty"`     // of good answers; zero: 1
	UndesirableWeight float64 `json:"undesirable_weight,omitempty" yaml:"undesirable_weight,omitempty"` // of bad ones; zero: 1
}

// ORPO is odds ratio preference optimization (Hong et al. 2024): no reference.
type ORPO struct {
	Beta float64 `json:"beta,omitempty" yaml:"beta,omitempty"` // λ of the paper; zero: 0.1
}

// CPO is contrastive preference optimization (Xu et al. 2024) with SimPO and AlphaPO: no
// reference. Names are those of TRL's CPOConfig.
type CPO struct {
	LossType       string   `json:"loss_type,omitempty" yaml:"loss_type,omitempty"`             // "sigmoid", "hinge", "ipo", "simpo"; zero: sigmoid
	Beta           float64  `json:"beta,omitempty" yaml:"beta,omitempty"`                       // zero: 0.1
	LabelSmoothing float64  `json:"label_smoothing,omitempty" yaml:"label_smoothing,omitempty"` // zero: none
	CPOAlpha       *float64 `json:"cpo_alpha,omitempty" yaml:"cpo_alpha,omitempty"`             // of the likelihood of chosen answers; SimPO itself has 0; nil: 1
	SimPOGamma     *float64 `json:"simpo_gamma,omitempty" yaml:"simpo_gamma,omitempty"`         // margin of simpo; nil: 0.5
	Alpha          float64  `json:"alpha,omitempty" yaml:"alpha,omitempty"`                     // of AlphaPO; zero: none
}

// PRM is a process reward model (Lightman et al. 2023): a score head at the end of each
// step. Names are those of TRL's PRMConfig.
type PRM struct {
	Separator    *string `json:"step_separator,omitempty" yaml:"step_separator,omitempty"`                   // behind every step; nil: a new line
	LastStepOnly bool    `json:"train_on_last_step_only,omitempty" yaml:"train_on_last_step_only,omitempty"` // an outcome reward model of the same data
}

// Rollout says how answers are sampled and judged while training. Names are TRL's.
type Rollout struct {
	MaxLength   int          `json:"max_completion_length,omitempty" yaml:"max_completion_length,omitempty"` // tokens of an answer; zero: 128
	Temperature float64      `json:"temperature,omitempty" yaml:"temperature,omitempty"`                     // zero: 1
	TopP        float64      `json:"top_p,omitempty" yaml:"top_p,omitempty"`                                 // zero: 1
	TopK        int          `json:"top_k,omitempty" yaml:"top_k,omitempty"`                                 // zero: all
	MinP        float64      `json:"min_p,omitempty" yaml:"min_p,omitempty"`                                 // zero: none
	Rewards     []RewardFunc `json:"rewards,omitempty" yaml:"rewards,omitempty"`                             // what judges an answer, added up; zero: the right answer of the row, by its number
	Stop        []string     `json:"stop,omitempty" yaml:"stop,omitempty"`                                   // texts that end an answer besides the end token; zero: none
}

// RewardFunc is one judge of an answer: a function of package reward, a reward model, or a function
// given in Go.
type RewardFunc struct {
	Use    string  `json:"use" yaml:"use"`                           // "accuracy", "reasoning_accuracy", "cosine", "think_format", "format", "repetition", "soft_overlong", "length", "code", "model", "prm", or the name of a function given in Go
	Name   string  `json:"name,omitempty" yaml:"name,omitempty"`     // in charts; zero: Use
	Weight float64 `json:"weight,omitempty" yaml:"weight,omitempty"` // zero: 1
	Watch  bool    `json:"watch,omitempty" yaml:"watch,omitempty"`   // report it, but do not add it

	Kind       string  `json:"kind,omitempty" yaml:"kind,omitempty"`               // accuracy, reasoning_accuracy, cosine: "gsm8k", "math" or "numeric"; zero: math
	Path       string  `json:"path,omitempty" yaml:"path,omitempty"`               // model, prm: a reward model: an adapter with a score head on the same base, or a model directory
	Steps      string  `json:"steps,omitempty" yaml:"steps,omitempty"`             // prm: what becomes of the scores of steps: "min", "product", "mean", "last", or "each" for a reward at each step; zero: min
	Separator  string  `json:"separator,omitempty" yaml:"separator,omitempty"`     // prm: what stands between steps in an answer; zero: a new line
	Pattern    string  `json:"pattern,omitempty" yaml:"pattern,omitempty"`         // format: what has to match
	MaxLen     int     `json:"max_len,omitempty" yaml:"max_len,omitempty"`         // cosine, soft_overlong: tokens; length: the target
	Cache      int     `json:"cache,omitempty" yaml:"cache,omitempty"`             // soft_overlong: the tokens before max_len that are punished
	NgramSize  int     `json:"ngram_size,omitempty" yaml:"ngram_size,omitempty"`   // repetition; zero: 3
	MaxPenalty float64 `json:"max_penalty,omitempty" yaml:"max_penalty,omitempty"` // repetition; zero: -1
	Language   string  `json:"language,omitempty" yaml:"language,omitempty"`       // code: python or go; zero: python
	Column     string  `json:"column,omitempty" yaml:"column,omitempty"`           // code: the column with the tests; zero: the answer
	Unsafe     bool    `json:"unsafe,omitempty" yaml:"unsafe,omitempty"`           // code: run without a sandbox where none can be had
	Seconds    float64 `json:"seconds,omitempty" yaml:"seconds,omitempty"`         // for one answer; zero: 60
}

// PPO is proximal policy optimization (Schulman et al. 2017) with a reward model, as RLHF
// has it (Ziegler et al. 2019). Names are those of TRL's PPOConfig.
type PPO struct {
	Rollout           `yaml:",inline"`
	Prompts           int      `json:"rollout_batch_size,omitempty" yaml:"rollout_batch_size,omitempty"`   // prompts of a rollout; zero: 16
	Epochs            int      `json:"num_ppo_epochs,omitempty" yaml:"num_ppo_epochs,omitempty"`           // over each rollout; zero: 4
	MiniBatches       int      `json:"num_mini_batches,omitempty" yaml:"num_mini_batches,omitempty"`       // optimizer steps an epoch; zero: 1
	KLCoef            *float64 `json:"kl_coef,omitempty" yaml:"kl_coef,omitempty"`                         // nil: 0.05
	KLEstimator       string   `json:"kl_estimator,omitempty" yaml:"kl_estimator,omitempty"`               // "k1", "k3"; zero: k1
	KLTarget          float64  `json:"kl_target,omitempty" yaml:"kl_target,omitempty"`                     // nats an answer: steers kl_coef towards it; zero: kl_coef stays
	KLHorizon         float64  `json:"kl_horizon,omitempty" yaml:"kl_horizon,omitempty"`                   // answers over which kl_coef is steered; zero: 10000
	Gamma             float64  `json:"gamma,omitempty" yaml:"gamma,omitempty"`                             // zero: 1
	Lambda            float64  `json:"lam,omitempty" yaml:"lam,omitempty"`                                 // of GAE; zero: 0.95
	ClipRange         float64  `json:"cliprange,omitempty" yaml:"cliprange,omitempty"`                     // zero: 0.2
	ClipRangeValue    float64  `json:"cliprange_value,omitempty" yaml:"cliprange_value,omitempty"`         // zero: 0.2
	VFCoef            float64  `json:"vf_coef,omitempty" yaml:"vf_coef,omitempty"`                         // zero: 0.1
	EntropyCoef       float64  `json:"entropy_coef,omitempty" yaml:"entropy_coef,omitempty"`               // zero: none
	WhitenRewards     bool     `json:"whiten_rewards,omitempty" yaml:"whiten_rewards,omitempty"`           // scale rewards of a rollout to deviation 1
	MissingEOSPenalty *float64 `json:"missing_eos_penalty,omitempty" yaml:"missing_eos_penalty,omitempty"` // taken from an answer without an end; nil: none
	Reference         string   `json:"ref_model,omitempty" yaml:"ref_model,omitempty"`                     // an adapter directory as the reference; zero: the model as it was before this run
	ValueLR           float64  `json:"value_learning_rate,omitempty" yaml:"value_learning_rate,omitempty"` // of the value; zero: the policy's
	TRL               bool     `json:"trl_compatible,omitempty" yaml:"trl_compatible,omitempty"`           // what TRL 1.12 does otherwise: score behind the last token, no clipping of gradients
}

// GRPO is group relative policy optimization (Shao et al. 2024). Names are those of TRL's
// GRPOConfig; the formulas are in package loss.
type GRPO struct {
	Rollout          `yaml:",inline"`
	Generations      int      `json:"num_generations,omitempty" yaml:"num_generations,omitempty"`                         // answers to each prompt; zero: 8
	Prompts          int      `json:"rollout_batch_size,omitempty" yaml:"rollout_batch_size,omitempty"`                   // prompts of a rollout; zero: what one optimizer step takes
	Iterations       int      `json:"num_iterations,omitempty" yaml:"num_iterations,omitempty"`                           // optimizer passes over each rollout; zero: 1
	LossType         string   `json:"loss_type,omitempty" yaml:"loss_type,omitempty"`                                     // "grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"; zero: dapo
	Beta             float64  `json:"beta,omitempty" yaml:"beta,omitempty"`                                               // of KL to the reference; zero: none
	Epsilon          float64  `json:"epsilon,omitempty" yaml:"epsilon,omitempty"`                                         // zero: 0.2
	EpsilonHigh      float64  `json:"epsilon_high,omitempty" yaml:"epsilon_high,omitempty"`                               // of cispo the cap itself (its paper: 5); zero: epsilon
	Delta            *float64 `json:"delta,omitempty" yaml:"delta,omitempty"`                                             // upper bound of the ratio at negative advantages; nil: none
	Level            string   `json:"importance_sampling_level,omitempty" yaml:"importance_sampling_level,omitempty"`     // "token", "sequence" (GSPO); zero: token
	Scale            string   `json:"scale_rewards,omitempty" yaml:"scale_rewards,omitempty"`                             // "group", "batch", "none"; zero: group
	Aggregation      string   `json:"multi_objective_aggregation,omitempty" yaml:"multi_objective_aggregation,omitempty"` // "sum_then_normalize", "normalize_then_sum" (GDPO); zero: sum_then_normalize
	EntropyCoef      float64  `json:"entropy_coef,omitempty" yaml:"entropy_coef,omitempty"`                               // zero: none
	TopEntropy       float64  `json:"top_entropy_quantile,omitempty" yaml:"top_entropy_quantile,omitempty"`               // train on this share of the tokens; zero: 1
	BiasCorrectionKL bool     `json:"use_bias_correction_kl,omitempty" yaml:"use_bias_correction_kl,omitempty"`           // weigh KL by the ratio
	MaskTruncated    bool     `json:"mask_truncated_completions,omitempty" yaml:"mask_truncated_completions,omitempty"`   // answers that met the limit train nothing
	OffPolicy        *float64 `json:"off_policy_mask_threshold,omitempty" yaml:"off_policy_mask_threshold,omitempty"`     // leave out bad answers that the policy has left this far behind, nats a token; nil: none
	Reference        string   `json:"ref_model,omitempty" yaml:"ref_model,omitempty"`                                     // an adapter directory as the reference; zero: the model as it was before this run
}

// RLOO is REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024). Names are those of
// TRL's RLOOConfig.
type RLOO struct {
	Rollout       `yaml:",inline"`
	Generations   int       `json:"num_generations,omitempty" yaml:"num_generations,omitempty"`                       // answers to each prompt; zero: 2
	Prompts       int       `json:"rollout_batch_size,omitempty" yaml:"rollout_batch_size,omitempty"`                 // prompts of a rollout; zero: what one optimizer step takes
	Iterations    int       `json:"num_iterations,omitempty" yaml:"num_iterations,omitempty"`                         // zero: 1
	Beta          *float64  `json:"beta,omitempty" yaml:"beta,omitempty"`                                             // of KL in the reward; nil: 0.05
	Epsilon       float64   `json:"epsilon,omitempty" yaml:"epsilon,omitempty"`                                       // zero: 0.2
	EpsilonHigh   float64   `json:"epsilon_high,omitempty" yaml:"epsilon_high,omitempty"`                             // zero: epsilon
	Normalize     bool      `json:"normalize_advantages,omitempty" yaml:"normalize_advantages,omitempty"`             // over the rollout
	RewardClip    []float64 `json:"reward_clip_range,omitempty" yaml:"reward_clip_range,omitempty"`                   // lowest and highest reward; zero: none
	MaskTruncated bool      `json:"mask_truncated_completions,omitempty" yaml:"mask_truncated_completions,omitempty"` // answers that met the limit train nothing
	Reference     string    `json:"ref_model,omitempty" yaml:"ref_model,omitempty"`                                   // an adapter directory as the reference; zero: the model as it was before this run
}

// STaR is the self-taught reasoner (Zelikman et al. 2022): rationales of the model's own that
// reach the right answer become its training data, round after round.
type STaR struct {
	Rollout       `yaml:",inline"`
	Rounds        int     `json:"n_iters,omitempty" yaml:"n_iters,omitempty"`                     // zero: 4
	Problems      int     `json:"n_train_samples,omitempty" yaml:"n_train_samples,omitempty"`     // problems of each round; zero: all
	Samples       int     `json:"samples,omitempty" yaml:"samples,omitempty"`                     // rationales of each problem; zero: 1
	NoRationalize bool    `json:"no_rationalize,omitempty" yaml:"no_rationalize,omitempty"`       // do not try failed problems again with the answer as a hint
	HintShare     float64 `json:"p_rationalization,omitempty" yaml:"p_rationalization,omitempty"` // share of the failed problems that are tried again; zero: 1
	Hint          string  `json:"hint,omitempty" yaml:"hint,omitempty"`                           // how the answer is told, with {answer} in it, behind the problem; zero: " ({answer})"
	StartSteps    int     `json:"start_steps,omitempty" yaml:"start_steps,omitempty"`             // optimizer steps of the first round; zero: 40
	Schedule      string  `json:"schedule,omitempty" yaml:"schedule,omitempty"`                   // steps of later rounds: "exponential" (times grow_steps), "steady" (plus add_steps), "epochs" (rows kept); zero: exponential
	GrowSteps     float64 `json:"grow_steps,omitempty" yaml:"grow_steps,omitempty"`               // zero: 1.2
	AddSteps      int     `json:"add_steps,omitempty" yaml:"add_steps,omitempty"`                 // zero: 20
	AddEpochs     float64 `json:"add_epochs,omitempty" yaml:"add_epochs,omitempty"`               // zero: 0.2
	Continue      bool    `json:"continue,omitempty" yaml:"continue,omitempty"`                   // go on from the last round's model instead of from the base
	FewShot       string  `json:"few_shot,omitempty" yaml:"few_shot,omitempty"`                   // a text file with worked examples that is put before every prompt; zero: none
	KeepEqual     bool    `json:"keep_duplicates,omitempty" yaml:"keep_duplicates,omitempty"`     // equal rationales of one problem count several times
}
