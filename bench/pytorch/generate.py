"""The PyTorch twin of bench/generate.ts: GPT-2 124M with a cache of keys and values, one sequence, greedy.

    python generate.py [--tokens 64] [--prompt 64] [--threads 2]
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F

from bench import GPT

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--prompt", type=int, default=64)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(0)
model = GPT(50257, 1024, 12, 12, 768).eval()


def forward(ids, caches, start):
    x = model.wte(ids) + model.wpe(torch.arange(start, start + ids.shape[1]))
    b, t, c = x.shape
    for block, cache in zip(model.h, caches):
        q, k, v = (
            z.view(b, t, block.heads, c // block.heads).transpose(1, 2)
            for z in block.c_attn(block.ln_1(x)).split(c, dim=2)
        )
        cache[0][:, :, start : start + t] = k
        cache[1][:, :, start : start + t] = v
        k, v = cache[0][:, :, : start + t], cache[1][:, :, : start + t]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
        x = x + block.c_proj(y.transpose(1, 2).reshape(b, t, c))
        x = x + block.c_out(F.gelu(block.c_fc(block.ln_2(x)), approximate="tanh"))
    return model.lm_head(model.ln_f(x[:, -1:]))


@torch.inference_mode()
def generate(count):
    ids = torch.tensor([[(i * 7919) % 50257 for i in range(options.prompt)]])
    caches = [(torch.zeros(1, 12, 1024, 64), torch.zeros(1, 12, 1024, 64)) for _ in model.h]
    start = 0
    for _ in range(count):
        logits = forward(ids, caches, start)
        start += ids.shape[1]
        ids = logits[:, -1].argmax(-1, keepdim=True)


def timed(count):
    begin = time.perf_counter()
    generate(count)
    return time.perf_counter() - begin


timed(3)
prefill = timed(1)
seconds = (timed(options.tokens + 1) - prefill) / options.tokens
print(json.dumps({"tokensPerSecond": 1 / seconds, "msPerToken": 1e3 * seconds, "prefillMs": 1e3 * prefill}))
