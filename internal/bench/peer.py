"""The peers' side of bench: PEFT + torch training steps, transformers decoding, TRL fine-tuning.

    peer.py train S|M        a LoRA step a round
    peer.py decode BATCH     64 greedy tokens a round
    peer.py qlora LAYERS float32|bfloat16   a QLoRA step of a Llama-2-7B-shaped model a round
    peer.py sft MODEL DATA OUT   a short SFTTrainer run, whole
    peer.py dpo|grpo|ppo MODEL DATA OUT STEPS   a run of the method; prints the seconds of every step
    peer.py scorer MODEL OUT     writes the model as a classifier with one output, for ppo
"""
import sys
import time


def model(name, tie=True):
    from transformers import LlamaConfig, LlamaForCausalLM
    import torch
    torch.manual_seed(0)
    shape = {
        "S": dict(vocab_size=4096, hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1024),
        "M": dict(vocab_size=8192, hidden_size=1024, num_hidden_layers=8, num_attention_heads=16, intermediate_size=2816),
    }[name]
    return LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=tie, max_position_embeddings=1024))


def serve(round):
    for _ in range(2):
        round()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        round()
        print(f"{(time.perf_counter() - start) * 1e3:.3f}", flush=True)


def step(m, params, opt, x):
    """One training step: loss, gradients clipped to 1, AdamW."""
    import torch
    loss = m(input_ids=x, labels=x).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    opt.step()
    opt.zero_grad()
    loss.item()


def train(name):
    import torch
    from peft import LoraConfig, get_peft_model
    m = get_peft_model(model(name), LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    params = [p for p in m.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=1e-3)
    x = torch.randint(0, m.config.vocab_size, ({"S": 4, "M": 2}[name], 256))

    serve(lambda: step(m, params, opt, x))


def qlora(layers, compute):
    """Double-quantised NF4 with adapters of rank 16 on all linear layers, one row of 256 tokens, blocks
    checkpointed, as prepare_model_for_kbit_training sets it up. The peak counts from the first step on."""
    import gc
    import bitsandbytes as bnb
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
    dtype = getattr(torch, compute)
    config = LlamaConfig(vocab_size=32000, hidden_size=4096, num_hidden_layers=layers, num_attention_heads=32, intermediate_size=11008,
                         max_position_embeddings=256, tie_word_embeddings=False)
    with torch.device("meta"):
        m = LlamaForCausalLM(config)

    def linear(out, into):
        x = bnb.nn.Linear4bit(into, out, bias=False, compute_dtype=dtype, quant_type="nf4", compress_statistics=True, device="meta")
        w = (torch.rand(out, into) - 0.5).mul_(0.069).to(dtype)
        x.weight = bnb.nn.Params4bit(w, requires_grad=False, quant_type="nf4", compress_statistics=True, blocksize=64, module=x)
        x = x.to("cpu")
        if x.weight.quant_state is None:
            x.weight = x.weight._quantize("cpu")
        return x

    def weight(*shape):
        return torch.nn.Parameter(torch.empty(*shape, dtype=dtype).normal_(0, 0.02))

    for layer in m.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, old in list(part.named_children()):
                if isinstance(old, torch.nn.Linear):
                    setattr(part, name, linear(old.out_features, old.in_features))
                    gc.collect()
        for name in ("input_layernorm", "post_attention_layernorm"):
            getattr(layer, name).weight = torch.nn.Parameter(torch.ones(4096, dtype=dtype))
    m.model.norm.weight = torch.nn.Parameter(torch.ones(4096, dtype=dtype))
    m.model.embed_tokens.weight, m.lm_head.weight = weight(32000, 4096), weight(32000, 4096)
    m.model.rotary_emb = LlamaRotaryEmbedding(config)
    for p in m.parameters():
        p.requires_grad_(False)
    m.is_loaded_in_4bit = True
    m = get_peft_model(m, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    m.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    m.enable_input_require_grads()
    m.train()
    params = [p for p in m.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=1e-4)
    x = torch.randint(0, 32000, (1, 256))
    gc.collect()
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")

    serve(lambda: step(m, params, opt, x))


def decode(batch):
    import torch
    m = model("S").eval()
    x = torch.arange(1, batch + 1).reshape(batch, 1)

    def generate():
        with torch.no_grad():
            m.generate(x, max_new_tokens=64, min_new_tokens=64, do_sample=False, pad_token_id=0, eos_token_id=None)

    serve(generate)


def sft(path, data, out):
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class First(TrainerCallback):
        def on_step_end(self, args, state, control, **kw):
            if state.global_step == 1:
                print("first step done", flush=True)

    rows = load_dataset("json", data_files=data, split="train")
    SFTTrainer(
        model=path,
        train_dataset=rows,
        args=SFTConfig(output_dir=out, per_device_train_batch_size=4, max_steps=5, learning_rate=1e-3, max_length=128,
                       report_to=[], save_strategy="no", use_cpu=True, bf16=False, gradient_checkpointing=False,
                       dataset_text_field="text", disable_tqdm=True),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[First()],
    ).train()


def steps():
    """A callback that prints how long every step took, rollout included."""
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        last = None

        def on_step_end(self, args, state, control, **kw):
            now = time.perf_counter()
            if self.last is not None:
                print(f"step {now - self.last:.6f}", flush=True)
            self.last = now

    return Steps()


def lora():
    from peft import LoraConfig
    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")


PLAIN = dict(report_to=[], save_strategy="no", use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True, logging_steps=1000)


def dpo(path, data, out, n):
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer
    DPOTrainer(
        model=path, train_dataset=load_dataset("json", data_files=data, split="train"), peft_config=lora(), callbacks=[steps()],
        args=DPOConfig(output_dir=out, per_device_train_batch_size=8, max_steps=n, learning_rate=1e-4, max_length=256, **PLAIN),
    ).train()


def grpo(path, data, out, n):
    from datasets import load_dataset
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions, **kw):
        return [float(c.count("e")) / max(1, len(c)) for c in completions]

    GRPOTrainer(
        model=path, train_dataset=load_dataset("json", data_files=data, split="train").select_columns(["prompt"]), peft_config=lora(),
        reward_funcs=reward, callbacks=[steps()],
        args=GRPOConfig(output_dir=out, per_device_train_batch_size=16, num_generations=8, max_completion_length=64, max_steps=n,
                        learning_rate=1e-4, **PLAIN),
    ).train()


def ppo(path, data, out, n):
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl.experimental.ppo import PPOConfig, PPOTrainer
    tok = AutoTokenizer.from_pretrained(path, padding_side="left")
    if tok.pad_token is None:
        tok.pad_token = tok.eos_token
    rows = load_dataset("json", data_files=data, split="train").select_columns(["prompt"])
    rows = rows.map(lambda r: {"input_ids": tok(r["prompt"])["input_ids"]}, remove_columns=["prompt"])
    scorer = out + "-scorer"
    PPOTrainer(
        args=PPOConfig(output_dir=out, per_device_train_batch_size=16, num_ppo_epochs=4, num_mini_batches=1, response_length=64, total_episodes=16 * n,
                       local_rollout_forward_batch_size=16, num_sample_generations=0, learning_rate=1e-4, **PLAIN),
        processing_class=tok, model=AutoModelForCausalLM.from_pretrained(path), ref_model=None,
        reward_model=AutoModelForSequenceClassification.from_pretrained(scorer, num_labels=1),
        value_model=AutoModelForSequenceClassification.from_pretrained(scorer, num_labels=1),
        train_dataset=rows, peft_config=lora(), callbacks=[steps()],
    ).train()


def scorer(path, out):
    import torch
    from transformers import AutoModelForSequenceClassification
    torch.manual_seed(0)
    m = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1)
    m.config.pad_token_id = m.config.eos_token_id if m.config.pad_token_id is None else m.config.pad_token_id
    m.save_pretrained(out)


if __name__ == "__main__":
    kind = sys.argv[1]
    if kind == "train":
        import torch
        torch.set_num_threads(2)
        train(sys.argv[2])
    elif kind == "decode":
        import torch
        torch.set_num_threads(2)
        decode(int(sys.argv[2]))
    elif kind == "qlora":
        import torch
        torch.set_num_threads(2)
        qlora(int(sys.argv[2]), sys.argv[3])
    elif kind == "sft":
        sft(*sys.argv[2:5])
    else:
        import torch
        torch.set_num_threads(2)
        if kind == "scorer":
            scorer(*sys.argv[2:4])
        else:
            {"dpo": dpo, "grpo": grpo, "ppo": ppo}[kind](*sys.argv[2:5], int(sys.argv[5]))
