"""Writes test/golden/match: one small model's state, input, result and trace, for the matcher toMatchTorch.

    python tools/pytorch/golden_match.py
"""
import json
import pathlib
import shutil

import numpy
import torch

from trace import record

folder = pathlib.Path(__file__).parents[2] / "test/golden/match"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.GELU(), torch.nn.Linear(6, 2))
x = torch.randn(3, 4)
state = {name: t.tolist() for name, t in model.state_dict().items()}
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with record(model, folder / "trace") as trace:
    y = model(x)
    y.square().mean().backward()
    trace.gradients_used()
    optimizer.step()
(folder / "state.json").write_text(json.dumps(state))
(folder / "x.json").write_text(json.dumps(x.tolist()))
numpy.save(folder / "y.npy", y.detach().numpy())
