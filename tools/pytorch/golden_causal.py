"""Writes test/golden/causal: tiny models of transformers as it saves them, and causal.json with what they compute.

    python tools/pytorch/golden_causal.py          (torch, transformers, safetensors)

Weights are normal with deviation 0.3 (norms around 1) and stored in bf16 or f16; everything is computed in float32 from
these values. Of every parameter's gradient g the test compares sum(g * cos(0.3 i)), i counting its elements.
"""
import json
import pathlib
import shutil

import torch
from tokenizers import Tokenizer, decoders, models as kinds, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config
from transformers.utils import logging

logging.disable_progress_bar()
OUT = pathlib.Path(__file__).parents[2] / "test" / "golden" / "causal"
B, T, VOCAB, NEW = 2, 9, 24, 12

sizes = dict(
    vocab_size=VOCAB, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=3,
)
bands = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
models = {
    "llama": (LlamaConfig(**sizes), torch.bfloat16, None),
    "llama3": (
        LlamaConfig(
            **{**sizes, "max_position_embeddings": 128}, head_dim=8, attention_bias=True, mlp_bias=True, hidden_act="gelu_pytorch_tanh",
            rope_parameters=dict(rope_theta=1000.0, **bands)  # a wavelength in each band,
        ),
        torch.float16, None,
    ),
    "mistral": (MistralConfig(**sizes, sliding_window=3, rms_norm_eps=1e-2), torch.bfloat16, None),
    "qwen2": (
        Qwen2Config(**sizes, tie_word_embeddings=True, use_sliding_window=True, sliding_window=4, max_window_layers=1),
        torch.bfloat16, "4KB",
    ),
    "gpt2": (
        GPT2Config(
            vocab_size=VOCAB, n_positions=64, n_embd=16, n_layer=2, n_head=4, n_inner=20, bos_token_id=0, eos_token_id=3,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        ),
        torch.bfloat16, None,
    ),
}
# The weights of a saved model under another config.
variants = {
    "llama linear": ("llama", dict(rope_parameters=None, rope_theta=1000.0, rope_scaling=dict(type="linear", factor=2.5))),
    "llama padding row": ("llama", dict(pad_token_id=5)),
    "qwen2 older": ("qwen2", dict(layer_types=None)),
    "qwen2 full": ("qwen2", dict(use_sliding_window=False, layer_types=None)),
    "gpt2 relu": ("gpt2", dict(activation_function="relu", layer_norm_epsilon=0.1)),
}
ids = torch.tensor([[7, 1, 19, 4, 22, 5, 5, 11, 2], [16, 8, 5, 13, 0, 21, 9, 14, 6]])
labels = torch.tensor([[7, 1, -100, 4, 22, 5, -100, 11, 2], [-100, -100, 5, 13, 0, 21, 9, 14, -100]])
masks = {
    "none": None,
    "right": torch.tensor([[1] * 9, [1] * 6 + [0] * 3]),
    "left": torch.tensor([[0] * 2 + [1] * 7, [1] * 9]),
}


def numbers(x, digits=7):
    return [float(f"{float(v):.{digits}g}") for v in x.detach().flatten()]


def fill(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            around = 1.0 if "norm" in name and name.endswith("weight") or ".ln_" in name and name.endswith("weight") else 0.0
            p.copy_(around + 0.3 * noise)


def record(model):
    model = model.float().eval()
    result = {}
    for name, mask in masks.items():
        model.zero_grad()
        out = model(ids, attention_mask=mask, labels=labels)
        out.loss.backward()
        # What padding itself predicts is nobody's business; its rows are left out.
        seen = torch.ones_like(ids) if mask is None else mask
        result[name] = {
            "mask": None if mask is None else mask.tolist(),
            "logits": numbers(out.logits[seen.bool()]),
            "loss": numbers(out.loss)[0],
            "gradients": {
                name: numbers((p.grad * torch.cos(0.3 * torch.arange(p.numel())).reshape(p.shape)).sum())[0]
                for name, p in model.named_parameters()
            },
        }
    new = lambda prompt, **how: model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, pad_token_id=0, max_new_tokens=NEW, **how
    )[0, prompt.shape[1]:].tolist()
    result["greedy"] = [new(row[None, :length], eos_token_id=None) for row, length in ((ids[0], 2), (ids[1], 9))]
    result["ending"] = new(ids[:1, :3], eos_token_id=result["greedy"][0][NEW // 2])
    result["end"] = result["greedy"][0][NEW // 2]
    return result


shutil.rmtree(OUT, ignore_errors=True)
cases = {}
for name, (config, dtype, shards) in models.items():
    how = {} if shards is None else {"max_shard_size": shards}
    for seed in range(100):  # until what it writes is not one token over and over
        model = AutoModelForCausalLM.from_config(config)
        fill(model, seed)
        model.to(dtype).save_pretrained(OUT / name, **how)
        result = record(AutoModelForCausalLM.from_pretrained(OUT / name, dtype=torch.float32))
        if min(len(set(tokens)) for tokens in result["greedy"]) >= 6 and 3 < len(result["ending"]) < NEW:
            break
    cases[name] = {"folder": name, "config": {}, **result}
for name, (base, changes) in variants.items():
    folder = OUT / "variant"
    shutil.copytree(OUT / base, folder)
    path = folder / "config.json"
    merged = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in merged.items() if value is not None}))
    cases[name] = {"folder": base, "config": changes, **record(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))}
    shutil.rmtree(folder)
# A tokenizer of as many tokens as the models have, beside one of them.
tokenizer = Tokenizer(kinds.BPE(unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
tokenizer.decoder = decoders.Metaspace()
text = "to be or not to be that is the question"
special = ["<unk>", "<pad>", "<s>", "</s>"]
tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=special, show_progress=False))
tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
tokenizer.save(str(OUT / "llama" / "tokenizer.json"))
(OUT / "llama" / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}\n')
words = {
    "text": "the quest is not to be, that is it",
    "ids": tokenizer.encode("the quest is not to be, that is it").ids,
    "bare": tokenizer.encode("the quest is not to be, that is it", add_special_tokens=False).ids,
}
words["decoded"] = tokenizer.decode(words["ids"])

for path in OUT.rglob("*.safetensors"):
    path.chmod(0o644)
result = {"ids": ids.tolist(), "labels": labels.tolist(), "words": words, "cases": cases}
(OUT / "causal.json").write_text(json.dumps(result) + "\n")
