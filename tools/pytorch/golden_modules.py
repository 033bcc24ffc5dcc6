"""Writes test/golden/modules.json: names, shapes, outputs and gradients of PyTorch's modules in float64.

    python tools/pytorch/golden_modules.py

The k-th entry of a state dict is filled with 0.3 sin(0.37 i + 1.1 k + 0.2), i counting its elements; inputs with
cos(0.51 i + k). The loss is sum(y * sin(0.7 i)); of every parameter's gradient g the test compares sum(g * cos(0.3 i)).
"""
import json
import pathlib

import torch
from torch import nn

F64 = torch.float64


def wave(function, shape, step, start, scale=1.0):
    count = 1
    for size in shape:
        count *= size
    return (scale * function(torch.arange(count, dtype=F64) * step + start)).reshape(shape)


def fill(module):
    with torch.no_grad():
        for k, tensor in enumerate(module.state_dict().values()):
            if tensor.dtype.is_floating_point:
                tensor.copy_(wave(torch.sin, tensor.shape, 0.37, 1.1 * k + 0.2, 0.3))


def values(shape, k=0):
    return wave(torch.cos, shape, 0.51, float(k)).requires_grad_()


def round12(x):
    return float(f"{float(x):.12g}")


def record(module, run, inputs):
    module = module.to(F64)
    fill(module)
    y = run(module, *inputs)
    (y * wave(torch.sin, y.shape, 0.7, 0.0)).sum().backward()
    sums = lambda t: round12((t * wave(torch.cos, t.shape, 0.3, 0.0)).sum())
    return {
        "names": [[name, list(t.shape)] for name, t in module.state_dict().items()],
        "y": [round12(v) for v in y.detach().flatten()],
        "shape": list(y.shape),
        "gradients": {name: sums(p.grad) for name, p in module.named_parameters()},
        "inputs": [sums(x.grad) for x in inputs if x.dtype == F64 and x.grad is not None],
    }


causal = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
padding = torch.tensor([[False, False, False, True], [False, True, False, False]])
layer = dict(dim_feedforward=12, dropout=0.0, batch_first=True)
ids = torch.tensor([[1, 3, 1], [0, 4, 2]])

cases = {
    "linear": record(nn.Linear(5, 3), lambda m, x: m(x), [values([2, 4, 5])]),
    "embedding": record(nn.Embedding(5, 3, padding_idx=1), lambda m, i: m(i), [ids]),
    "layer_norm": record(nn.LayerNorm([3, 4]), lambda m, x: m(x), [values([2, 3, 4])]),
    "rms_norm": record(nn.RMSNorm(6, eps=1e-5), lambda m, x: m(x), [values([4, 6])]),
    "conv2d": record(
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), groups=2), lambda m, x: m(x), [values([2, 4, 7, 6])]
    ),
    "pools": record(
        nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.Flatten()), lambda m, x: m(x), [values([2, 3, 8, 8])]
    ),
    "attention": record(
        nn.MultiheadAttention(8, 2, batch_first=True), lambda m, x: m(x, x, x, need_weights=False)[0], [values([2, 4, 8])]
    ),
    "attention causal padding": record(
        nn.MultiheadAttention(8, 2, batch_first=True),
        lambda m, x: m(x, x, x, attn_mask=causal, key_padding_mask=padding, need_weights=False)[0],
        [values([2, 4, 8])],
    ),
    "attention cross": record(
        nn.MultiheadAttention(8, 2, kdim=6, vdim=5, bias=True, batch_first=False),
        lambda m, q, k, v: m(q, k, v, need_weights=False)[0],
        [values([4, 2, 8]), values([3, 2, 6], 1), values([3, 2, 5], 2)],
    ),
    "attention packed cross": record(
        nn.MultiheadAttention(8, 4, bias=False, batch_first=True),
        lambda m, q, k: m(q, k, k, need_weights=False)[0],
        [values([2, 4, 8]), values([2, 3, 8], 1)],
    ),
    "encoder layer": record(
        nn.TransformerEncoderLayer(8, 2, **layer), lambda m, x: m(x, src_key_padding_mask=padding), [values([2, 4, 8])]
    ),
    "encoder layer norm first gelu": record(
        nn.TransformerEncoderLayer(8, 2, norm_first=True, activation="gelu", **layer),
        lambda m, x: m(x, src_mask=causal, is_causal=True),
        [values([2, 4, 8])],
    ),
    "decoder layer": record(
        nn.TransformerDecoderLayer(8, 2, **layer),
        lambda m, t, s: m(t, s, tgt_mask=causal, tgt_is_causal=True),
        [values([2, 4, 8]), values([2, 3, 8], 1)],
    ),
    "decoder layer norm first": record(
        nn.TransformerDecoderLayer(8, 2, norm_first=True, bias=False, **layer),
        lambda m, t, s: m(t, s),
        [values([2, 4, 8]), values([2, 3, 8], 1)],
    ),
    "encoder": record(
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, **layer), 2, norm=nn.LayerNorm(8), enable_nested_tensor=False),
        lambda m, x: m(x),
        [values([2, 4, 8])],
    ),
}
path = pathlib.Path(__file__).resolve().parents[2] / "test" / "golden" / "modules.json"
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
path.write_text("{\n" + lines + "\n}\n")
