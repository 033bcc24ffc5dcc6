"""Numbers from PyTorch for the neural-network ops: python golden.py OUT.json [--large]

Each case holds inputs, attributes, the gradient fed to backward, the result and the gradients of the inputs, computed in
float64 from inputs that are exact in the named dtype. Written with torch 2.13.0 (CPU).
"""
import json
import sys

import torch
import torch.nn.functional as F

LARGE = "--large" in sys.argv
DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
          "i64": torch.int64, "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}
NAMES = {v: k for k, v in DTYPES.items()}
cases = []


def flat(t):
    if t.dtype.is_floating_point:
        digits = 17 if LARGE else 10  # nine decimal digits determine an f32
        return [float(f"{x:.{digits}g}") if abs(x) < float("inf") else str(x) for x in t.detach().double().flatten().tolist()]
    return [int(x) for x in t.flatten().tolist()]


def pack(t, dtype=None):
    return {"shape": list(t.shape), "dtype": dtype or NAMES[t.dtype], "data": flat(t)}


def case(name, op, run, inputs, attrs=None, dtype="f32", grads=None):
    """`run` gets the inputs in float64; `grads` names the inputs that get a gradient."""
    exact = {k: (v.to(DTYPES[dtype]) if v.dtype.is_floating_point else v) for k, v in inputs.items()}
    wide = {k: (v.double().clone() if v.dtype.is_floating_point else v) for k, v in exact.items()}
    grads = [k for k, v in wide.items() if v.dtype.is_floating_point] if grads is None else grads
    for k in grads:
        wide[k].requires_grad_()
    y = run(wide)
    dy = torch.randn(y.shape, dtype=torch.float64).to(DTYPES[dtype])
    y.backward(dy.double())
    cases.append({
        "name": f"{name} {dtype}", "op": op, "attrs": attrs or {}, "dtype": dtype,
        "in": {k: pack(v) for k, v in exact.items()}, "dy": pack(dy), "y": flat(y),
        "grads": {k: flat(wide[k].grad) for k in grads},
    })


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def sizes():
    return [1, 7, 33, 65, 257] if LARGE else [5, 33]


def softmaxes(dtype):
    for n in sizes():
        for shape, dim in [((3, n), 1), ((2, n, 3), 1), ((n, 5), 0)]:
            x = randn(*shape) * 3
            case(f"softmax {shape} along {dim}", "softmax", lambda i, dim=dim: F.softmax(i["x"], dim), {"x": x}, {"dim": dim}, dtype)
            case(f"log_softmax {shape} along {dim}", "logSoftmax", lambda i, dim=dim: F.log_softmax(i["x"], dim), {"x": x}, {"dim": dim}, dtype)


def norms(dtype):
    for n in sizes():
        for rows in [1, 5, 67] if LARGE else [3]:
            i = {"x": randn(rows, n) * 2 + 1, "weight": randn(n), "bias": randn(n)}
            case(f"layer_norm {rows} x {n}", "layerNorm", lambda i, n=n: F.layer_norm(i["x"], [n], i["weight"], i["bias"], 1e-5),
                 i, {"normalizedShape": [n], "eps": 1e-5}, dtype)
            case(f"rms_norm {rows} x {n}", "rmsNorm", lambda i, n=n: F.rms_norm(i["x"], [n], i["weight"], 1e-5),
                 {k: i[k] for k in ("x", "weight")}, {"normalizedShape": [n], "eps": 1e-5}, dtype)
    i = {"x": randn(2, 3, 4), "bias": randn(3, 4)}
    case("layer_norm over two axes without weight", "layerNorm", lambda i: F.layer_norm(i["x"], [3, 4], None, i["bias"], 0.01),
         i, {"normalizedShape": [3, 4], "eps": 0.01}, dtype)


def embeddings(dtype):
    for n in sizes():
        ids = torch.randint(0, 6, (4, 3))
        ids[0, 0] = 2
        i = {"indices": ids, "weight": randn(6, n)}
        case(f"embedding of width {n}", "embedding", lambda i: F.embedding(i["indices"], i["weight"]), i, {}, dtype)
        case(f"embedding of width {n} with padding", "embedding", lambda i: F.embedding(i["indices"], i["weight"], padding_idx=2), i,
             {"paddingIdx": 2}, dtype)


def cross_entropies(dtype):
    for n in sizes():
        for rows in ([1, 4, 65] if n < 257 else [4]) if LARGE else [4]:
            ids = torch.randint(0, n, (rows,))
            if rows > 1:
                ids[1] = -100
            w = torch.rand(n, dtype=torch.float64) + 0.5
            for reduction in ["mean", "sum", "none"]:
                for smoothing in [0.0, 0.1]:
                    for weight in [None, w]:
                        i = {"logits": randn(rows, n) * 3, "target": ids, **({} if weight is None else {"weight": weight})}
                        case(f"cross_entropy {rows} x {n} {reduction} smoothing {smoothing} {'weighted' if weight is not None else ''}",
                             "crossEntropy",
                             lambda i, r=reduction, s=smoothing: F.cross_entropy(i["logits"], i["target"], i.get("weight"), reduction=r, label_smoothing=s),
                             i, {"reduction": reduction, "labelSmoothing": smoothing}, dtype, ["logits"])
    i = {"logits": randn(2, 5, 3, 7), "target": torch.randint(0, 5, (2, 3, 7)), "weight": torch.rand(5, dtype=torch.float64) + 0.5}
    i["target"][0, 1, 2] = 3
    for smoothing in [0.0, 0.1]:
        case(f"cross_entropy of images smoothing {smoothing}", "crossEntropy",
             lambda i, s=smoothing: F.cross_entropy(i["logits"], i["target"], i["weight"], ignore_index=3, label_smoothing=s),
             i, {"ignoreIndex": 3, "labelSmoothing": smoothing}, dtype, ["logits"])


def attentions(dtype):
    shapes = [(2, 2, 2, 7, 5, 4, 3), (1, 4, 2, 5, 9, 3, 3)]
    if LARGE:
        shapes += [(1, 2, 2, 65, 257, 33, 33), (1, 4, 2, 130, 130, 64, 64), (1, 1, 1, 1, 1, 1, 1), (1, 2, 1, 257, 65, 16, 7)]
    for b, h, k, t, s, e, f in shapes:
        q, kk, v = randn(b, h, t, e), randn(b, k, s, e), randn(b, k, s, f)
        gqa = h != k
        for causal in [False, True]:
            for mask in ["none", "float", "bool"]:
                i = {"query": q, "key": kk, "value": v}
                if mask == "float":
                    i["attnMask"] = randn(h, 1, s) if t == 7 else randn(b, 1, t, s)
                if mask == "bool":
                    i["attnMask"] = torch.rand(t, s) < 0.7
                    i["attnMask"][t // 2] = False
                case(f"attention {b}x{h}x{t}x{e} over {k}x{s} causal {causal} mask {mask}", "scaledDotProductAttention",
                     lambda i, c=causal, g=gqa: sdpa(i, c, g), i, {"isCausal": causal, "enableGqa": gqa}, dtype)


def sdpa(i, causal, gqa):
    mask = i.get("attnMask")
    if causal and mask is not None:  # torch refuses both at once in some backends: fold the triangle into the mask
        tri = torch.ones(i["query"].shape[2], i["key"].shape[2], dtype=torch.bool).tril()
        mask = mask & tri if mask.dtype == torch.bool else mask.masked_fill(~tri, float("-inf"))
        causal = False
    return F.scaled_dot_product_attention(i["query"], i["key"], i["value"], mask, is_causal=causal, enable_gqa=gqa)


def losses(dtype):
    for reduction in ["mean", "sum", "none"]:
        p = {"x": randn(4, 7), "target": randn(4, 7)}
        for op, f in [("mseLoss", F.mse_loss), ("l1Loss", F.l1_loss), ("smoothL1Loss", F.smooth_l1_loss), ("huberLoss", F.huber_loss)]:
            case(f"{op} {reduction}", op, lambda i, f=f, r=reduction: f(i["x"], i["target"], reduction=r), p, {"reduction": reduction}, dtype)
        u = {"x": torch.rand(4, 7, dtype=torch.float64), "target": torch.rand(4, 7, dtype=torch.float64), "weight": torch.rand(7, dtype=torch.float64)}
        case(f"binaryCrossEntropy {reduction}", "binaryCrossEntropy",
             lambda i, r=reduction: F.binary_cross_entropy(i["x"], i["target"], i["weight"], reduction=r), u, {"reduction": reduction}, dtype, ["x"])
        v = {"x": randn(4, 7) * 4, "target": u["target"], "weight": u["weight"], "posWeight": torch.rand(7, dtype=torch.float64) * 3}
        case(f"binaryCrossEntropyWithLogits {reduction}", "binaryCrossEntropyWithLogits",
             lambda i, r=reduction: F.binary_cross_entropy_with_logits(i["x"], i["target"], i["weight"], reduction=r, pos_weight=i["posWeight"]),
             v, {"reduction": reduction}, dtype, ["x"])
        n = {"x": F.log_softmax(randn(4, 7), 1), "target": torch.tensor([1, 6, 2, 0]), "weight": torch.rand(7, dtype=torch.float64)}
        case(f"nllLoss {reduction}", "nllLoss",
             lambda i, r=reduction: F.nll_loss(i["x"], i["target"], i["weight"], ignore_index=2, reduction=r), n,
             {"reduction": reduction, "ignoreIndex": 2}, dtype, ["x"])
        q = {"logits": randn(4, 7), "target": F.softmax(randn(4, 7), 1), "weight": torch.rand(7, dtype=torch.float64)}
        case(f"cross_entropy of probabilities {reduction}", "crossEntropy",
             lambda i, r=reduction: F.cross_entropy(i["logits"], i["target"], i["weight"], reduction=r, label_smoothing=0.1), q,
             {"reduction": reduction, "labelSmoothing": 0.1}, dtype, ["logits"])


def activations(dtype):
    x = {"x": randn(5, 7) * 3}
    for op, f, attrs in [
        ("gelu", lambda t: F.gelu(t), {}), ("gelu", lambda t: F.gelu(t, approximate="tanh"), {"approximate": "tanh"}),
        ("leakyRelu", lambda t: F.leaky_relu(t, 0.1), {"negativeSlope": 0.1}), ("elu", lambda t: F.elu(t, 0.7), {"alpha": 0.7}),
        ("clamp", lambda t: t.clamp(-0.5, 1.5), {"min": -0.5, "max": 1.5}), ("clamp", lambda t: t.clamp(max=1.5), {"max": 1.5}),
        ("relu6", F.relu6, {}), ("hardtanh", F.hardtanh, {}), ("hardsigmoid", F.hardsigmoid, {}), ("hardswish", F.hardswish, {}),
        ("mish", F.mish, {}), ("selu", F.selu, {}), ("softsign", F.softsign, {}),
    ]:
        case(f"{op} {attrs}", op, lambda i, f=f: f(i["x"]), x, attrs, dtype)


def linears(dtype):
    i = {"x": randn(2, 3, 5), "weight": randn(4, 5), "bias": randn(4)}
    case("linear", "linear", lambda i: F.linear(i["x"], i["weight"], i["bias"]), i, {}, dtype)
    case("linear without bias", "linear", lambda i: F.linear(i["x"], i["weight"]), {k: i[k] for k in ("x", "weight")}, {}, dtype)


torch.manual_seed(20261121)
for d in ["f32", "f64", "f16", "bf16"] if LARGE else ["f32"]:
    for family in [softmaxes, norms, embeddings, cross_entropies, attentions, losses, activations, linears]:
        family(d)
with open(sys.argv[1], "w") as out:
    out.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
