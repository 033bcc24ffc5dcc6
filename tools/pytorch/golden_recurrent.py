"""Writes test/golden/recurrent.json: outputs, states and gradients of PyTorch's recurrent layers and cells, in f64; and of
an LSTM in mixed precision.

    python tools/pytorch/golden_recurrent.py

The loss is sum(output * cos(position)) + sum(hn * sin(position)) + sum(cn * cos(2 position)), so every element counts.
"""
import json
import pathlib

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CASES = [
    ("lstm", nn.LSTM, dict(), None, True),
    ("lstm two layers both ways", nn.LSTM, dict(num_layers=2, bidirectional=True), None, False),
    ("lstm batch first without bias", nn.LSTM, dict(batch_first=True, bias=False), None, True),
    ("lstm packed both ways", nn.LSTM, dict(num_layers=2, bidirectional=True), [2, 4, 1], True),
    ("gru", nn.GRU, dict(), None, True),
    ("gru two layers both ways", nn.GRU, dict(num_layers=2, bidirectional=True), None, False),
    ("gru packed both ways", nn.GRU, dict(bidirectional=True, batch_first=True), [2, 4, 1], True),
    ("gru without bias", nn.GRU, dict(bias=False), None, True),
    ("rnn", nn.RNN, dict(), None, True),
    ("rnn relu packed", nn.RNN, dict(nonlinearity="relu", num_layers=2, bidirectional=True), [2, 4, 1], True),
]
CELLS = [("lstm cell", nn.LSTMCell, {}), ("gru cell", nn.GRUCell, {}), ("rnn cell", nn.RNNCell, dict(nonlinearity="relu"))]
TIME, BATCH, INPUT, HIDDEN = 4, 3, 5, 6


def values(t):
    return {"shape": list(t.shape), "data": [float(f"{v:.12g}") for v in t.detach().flatten().tolist()]}


def weigh(t, f):
    return (t * f(torch.arange(t.numel(), dtype=t.dtype)).reshape(t.shape)).sum()


def results(model, inputs, outputs):
    loss = 0
    for i, t in enumerate(outputs):
        loss = loss + weigh(t, [torch.cos, torch.sin, lambda p: torch.cos(2 * p)][i])
    loss.backward()
    return {
        "weights": {name: values(p) for name, p in model.named_parameters()},
        "inputs": {name: values(t) for name, t in inputs.items()},
        "outputs": [values(t) for t in outputs],
        "gradients": {
            **{name: values(p.grad) for name, p in model.named_parameters()},
            **{name: values(t.grad) for name, t in inputs.items()},
        },
    }


def layer(kind, options, lengths, with_state):
    torch.manual_seed(0)
    model = kind(INPUT, HIDDEN, dtype=torch.float64, **options)
    first = options.get("batch_first", False)
    inputs = {"x": torch.randn(*((BATCH, TIME) if first else (TIME, BATCH)), INPUT, dtype=torch.float64)}
    if with_state:
        count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
        for name in ["h0", "c0"][: 2 if kind is nn.LSTM else 1]:
            inputs[name] = torch.randn(count, BATCH, HIDDEN, dtype=torch.float64)
    for t in inputs.values():
        t.requires_grad_()
    x = inputs["x"]
    if lengths is not None:
        x = pack_padded_sequence(x, torch.tensor(lengths), batch_first=first, enforce_sorted=False)
    state = None
    if with_state:
        state = (inputs["h0"], inputs["c0"]) if kind is nn.LSTM else inputs["h0"]
    y, final = model(x, state)
    if lengths is not None:
        y, _ = pad_packed_sequence(y, batch_first=first)
    outputs = [y, *final] if kind is nn.LSTM else [y, final]
    return {"kind": kind.__name__, "options": options, "lengths": lengths, **results(model, inputs, outputs)}


def cell(kind, options):
    torch.manual_seed(1)
    model = kind(INPUT, HIDDEN, dtype=torch.float64, **options)
    inputs = {"x": torch.randn(BATCH, INPUT, dtype=torch.float64), "h0": torch.randn(BATCH, HIDDEN, dtype=torch.float64)}
    if kind is nn.LSTMCell:
        inputs["c0"] = torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    for t in inputs.values():
        t.requires_grad_()
    if kind is nn.LSTMCell:
        outputs = list(model(inputs["x"], (inputs["h0"], inputs["c0"])))
    else:
        outputs = [model(inputs["x"], inputs["h0"])]
    return {"kind": kind.__name__, "options": options, "lengths": None, **results(model, inputs, outputs)}


def mixed(hidden):
    """f32 weights, products in bf16; as PyTorch does it on the CPU."""
    torch.manual_seed(2)
    model = nn.LSTM(INPUT, hidden)
    inputs = {"x": torch.randn(TIME, BATCH, INPUT, requires_grad=True)}
    with torch.autocast("cpu", torch.bfloat16):
        y, (h, c) = model(inputs["x"])
    return {"kind": "LSTM", "options": {}, "lengths": None, **results(model, inputs, [t.float() for t in (y, h, c)])}


golden = {name: layer(kind, options, lengths, state) for name, kind, options, lengths, state in CASES}
golden |= {name: cell(kind, options) for name, kind, options in CELLS}
golden |= {"lstm autocast bf16": mixed(HIDDEN)}
path = pathlib.Path(__file__).resolve().parents[2] / "test" / "golden" / "recurrent.json"
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in golden.items())
path.write_text("{\n" + lines + "\n}\n")
