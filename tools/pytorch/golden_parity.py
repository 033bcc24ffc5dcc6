"""Numbers, dtypes, shapes, gradients and refusals from PyTorch for ops of every family: python golden_parity.py OUT.json

A case is a function of gradproof with positional arguments (tensors, numbers, lists) and options, and what PyTorch answers
for the same call: its results, the gradients of all floating inputs under fixed weights, or that it refuses. Written with
torch 2.13.0 (CPU).
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16,
          "i64": torch.int64, "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}
NAMES = {v: k for k, v in DTYPES.items()}
FLOATS = ["f32", "f64", "f16", "bf16"]
SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e20, 3.0]
cases = []


def number(x):
    if isinstance(x, float):
        if math.isnan(x):
            return "NaN"
        if math.isinf(x):
            return "Infinity" if x > 0 else "-Infinity"
        if x == 0 and math.copysign(1, x) < 0:
            return "-0"
        return float(f"{x:.12g}")
    return int(x)


def pack(t):
    t = t.detach()
    wide = t.double() if t.dtype.is_floating_point else t.long()
    return {"shape": list(t.shape), "dtype": NAMES[t.dtype], "data": [number(v) for v in wide.flatten().tolist()]}


def encode(value):
    if isinstance(value, torch.Tensor):
        return {"tensor": pack(value)}
    if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
        return {"tensors": [pack(t) for t in value]}
    if isinstance(value, float) and math.isinf(value):
        return {"number": number(value)}
    return {"value": value}


def weights(t):
    return torch.tensor([((k * 7919) % 13 - 6) / 8 for k in range(t.numel())], dtype=torch.float64).reshape(t.shape).to(t.dtype)


def case(op, run, *args, grad=True, **options):
    record = {"op": op, "args": [encode(a) for a in args], "options": {k: encode(v) for k, v in options.items()}}
    own = [a.clone() if isinstance(a, torch.Tensor) else [t.clone() for t in a] if isinstance(a, list) and a and isinstance(a[0], torch.Tensor) else a for a in args]
    named = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    leaves = [t for a in [*own, *named.values()] for t in (a if isinstance(a, list) else [a]) if isinstance(t, torch.Tensor) and t.dtype.is_floating_point]
    for t in leaves:
        t.requires_grad_(grad)
    try:
        y = run(*own, **named)
        ys = list(y) if isinstance(y, (tuple, list)) else [y]
        record["out"] = [pack(t) if isinstance(t, torch.Tensor) else t for t in ys]
        wanted = [t for t in ys if isinstance(t, torch.Tensor) and t.requires_grad]
        if grad and wanted:
            gs = torch.autograd.grad(wanted, leaves, [weights(t) for t in wanted], allow_unused=True)
            record["grads"] = [None if g is None else pack(g) for g in gs]
    except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
        record["error"] = str(error).split("\n")[0][:100]
    cases.append(record)


def make(dtype, *shape, low=-2.0, high=2.0):
    d = DTYPES[dtype]
    if d == torch.bool:
        return torch.rand(shape) < 0.5
    if not d.is_floating_point:
        return torch.randint(0 if dtype == "u8" else -4, 6, shape).to(d)
    return (torch.rand(shape, dtype=torch.float64) * (high - low) + low).to(d)


def special(dtype="f32"):
    return torch.tensor(SPECIAL, dtype=torch.float64).to(DTYPES[dtype])


exec(open(__file__.replace("golden_parity.py", "golden_parity_cases.py")).read())
with open(sys.argv[1], "w") as out:
    out.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
print(len(cases), "cases,", sum("error" in c for c in cases), "refusals")
