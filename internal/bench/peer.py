"""The peers' side of bench: PEFT + torch training steps, transformers decoding, TRL fine-tuning.

    peer.py train S|M        a LoRA step a round
    peer.py decode BATCH     64 greedy tokens a round
    peer.py sft MODEL DATA OUT   a short SFTTrainer run, whole
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


def train(name):
    import torch
    from peft import LoraConfig, get_peft_model
    m = get_peft_model(model(name), LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    params = [p for p in m.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=1e-3)
    x = torch.randint(0, m.config.vocab_size, ({"S": 4, "M": 2}[name], 256))

    def step():
        loss = m(input_ids=x, labels=x).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad()
        loss.item()

    serve(step)


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
    else:
        sft(*sys.argv[2:5])
