"""Writes test/golden/conv.json: PyTorch's convolutional modules and functions in float64.

    python tools/pytorch/golden_conv.py

The k-th entry of a state dict is filled with 0.3 sin(0.37 i + 1.1 k + 0.2), i counting its elements (running variances:
1 + that); inputs with cos(0.51 i). The loss is sum(y * sin(0.7 i)); of gradients and buffers g the test compares
sum(g * cos(0.3 i)).
"""
import json
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

F64 = torch.float64


def wave(function, shape, step, start, scale=1.0):
    count = 1
    for size in shape:
        count *= size
    return (scale * function(torch.arange(count, dtype=F64) * step + start)).reshape(shape)


def fill(module):
    with torch.no_grad():
        for k, (name, tensor) in enumerate(module.state_dict().items()):
            if tensor.dtype.is_floating_point:
                tensor.copy_(wave(torch.sin, tensor.shape, 0.37, 1.1 * k + 0.2, 0.3) + (1 if name.endswith("var") else 0))


def round12(x):
    return float(f"{float(x):.12g}")


def probe(t):
    return round12((t.double() * wave(torch.cos, t.shape, 0.3, 0.0)).sum())


def record(module, shape, train=True):
    module = module.to(F64) if isinstance(module, nn.Module) else module
    x = wave(torch.cos, shape, 0.51, 0.0).requires_grad_()
    if isinstance(module, nn.Module):
        fill(module)
        module.train(train)
    y = module(x)
    (y * wave(torch.sin, y.shape, 0.7, 0.0)).sum().backward()
    state = module.state_dict() if isinstance(module, nn.Module) else {}
    parameters = dict(module.named_parameters()) if isinstance(module, nn.Module) else {}
    return {
        "input": list(shape),
        "names": [[name, list(t.shape)] for name, t in state.items()],
        "shape": list(y.shape),
        "y": [round12(v) for v in y.detach().flatten()],
        "dx": probe(x.grad),
        "gradients": {name: probe(p.grad) for name, p in parameters.items()},
        "buffers": {name: probe(t) for name, t in state.items() if name not in parameters},
    }


up = lambda **options: lambda x: F.interpolate(x, **options)
cases = {
    "BatchNorm1d": record(nn.BatchNorm1d(3), [5, 3]),
    "BatchNorm1d sequence": record(nn.BatchNorm1d(3, momentum=0.3, eps=1e-3), [4, 3, 5]),
    "BatchNorm2d": record(nn.BatchNorm2d(3), [2, 3, 4, 5]),
    "BatchNorm2d eval": record(nn.BatchNorm2d(3), [2, 3, 4, 5], train=False),
    "BatchNorm2d cumulative": record(nn.BatchNorm2d(3, momentum=None), [2, 3, 4, 5]),
    "BatchNorm2d plain": record(nn.BatchNorm2d(3, affine=False, track_running_stats=False), [2, 3, 4, 5], train=False),
    "BatchNorm3d": record(nn.BatchNorm3d(2), [2, 2, 2, 3, 2]),
    "GroupNorm": record(nn.GroupNorm(2, 6), [2, 6, 3, 2]),
    "GroupNorm plain": record(nn.GroupNorm(3, 6, affine=False), [2, 6]),
    "InstanceNorm1d": record(nn.InstanceNorm1d(3), [2, 3, 5]),
    "InstanceNorm2d": record(nn.InstanceNorm2d(3, affine=True, track_running_stats=True), [2, 3, 4, 3]),
    "InstanceNorm2d eval": record(nn.InstanceNorm2d(3, affine=True, track_running_stats=True), [2, 3, 4, 3], train=False),
    "Conv1d": record(nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), [2, 4, 9]),
    "Conv2d depthwise": record(nn.Conv2d(4, 4, 3, padding=1, groups=4), [2, 4, 6, 7]),
    "Conv1d same": record(nn.Conv1d(2, 3, 4, padding="same", dilation=2), [2, 2, 9]),
    "Conv1d circular": record(nn.Conv1d(2, 3, 3, padding=2, padding_mode="circular"), [2, 2, 5]),
    "Conv2d same": record(nn.Conv2d(2, 3, (4, 3), padding="same"), [2, 2, 5, 6]),
    "Conv2d valid": record(nn.Conv2d(2, 3, 3, padding="valid", stride=2), [2, 2, 5, 6]),
    "Conv2d reflect": record(nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect", stride=2), [2, 2, 5, 6]),
    "Conv2d same replicate": record(nn.Conv2d(2, 3, (2, 3), padding="same", padding_mode="replicate"), [2, 5, 6]),
    "Conv2d one sample": record(nn.Conv2d(2, 3, 3, stride=2), [2, 7, 8]),
    "ConvTranspose1d": record(nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), [2, 4, 5]),
    "ConvTranspose2d": record(
        nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 0), dilation=(1, 2), groups=2),
        [2, 4, 3, 4],
    ),
    "ConvTranspose2d plain": record(nn.ConvTranspose2d(3, 2, 3, bias=False), [1, 3, 4, 4]),
    "AvgPool1d": record(nn.AvgPool1d(3, 2, 1), [2, 2, 8]),
    "MaxPool1d": record(nn.MaxPool1d(3, 2, 1), [2, 2, 8]),
    "MaxPool2d": record(nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True), [2, 2, 9, 8]),
    "AvgPool2d": record(nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), [2, 2, 8, 7]),
    "AdaptiveAvgPool1d": record(nn.AdaptiveAvgPool1d(3), [2, 2, 7]),
    "AdaptiveAvgPool2d": record(nn.AdaptiveAvgPool2d((3, 2)), [2, 2, 7, 6]),
    "AdaptiveAvgPool2d even": record(nn.AdaptiveAvgPool2d(2), [2, 2, 4, 6]),
    "AdaptiveMaxPool1d": record(nn.AdaptiveMaxPool1d(3), [2, 2, 7]),
    "AdaptiveMaxPool2d": record(nn.AdaptiveMaxPool2d((3, None)), [2, 2, 7, 4]),
    "nearest": record(up(size=(5, 7)), [1, 2, 3, 4]),
    "nearest factor": record(up(scale_factor=(1.5, 2.6)), [1, 2, 3, 4]),
    "nearest-exact": record(up(size=(5, 7), mode="nearest-exact"), [1, 2, 3, 4]),
    "linear": record(up(size=7, mode="linear"), [1, 2, 4]),
    "bilinear": record(up(scale_factor=2, mode="bilinear"), [1, 2, 3, 4]),
    "bilinear smaller": record(up(size=(2, 3), mode="bilinear"), [1, 2, 5, 7]),
    "bilinear corners": record(up(size=(5, 1), mode="bilinear", align_corners=True), [1, 2, 3, 4]),
    "bilinear factor": record(up(scale_factor=1.7, mode="bilinear"), [1, 2, 3, 4]),
    "bicubic": record(up(size=(5, 7), mode="bicubic"), [1, 2, 3, 4]),
    "bicubic corners": record(up(size=(5, 7), mode="bicubic", align_corners=True), [1, 2, 3, 4]),
    "trilinear": record(up(size=(3, 4, 5), mode="trilinear"), [1, 1, 2, 3, 2]),
    "area": record(up(size=(2, 3), mode="area"), [1, 2, 5, 4]),
    "PixelShuffle": record(nn.PixelShuffle(2), [1, 8, 2, 3]),
    "PixelUnshuffle": record(nn.PixelUnshuffle(2), [1, 2, 4, 6]),
    "Unfold": record(nn.Unfold((2, 3), dilation=(1, 2), padding=1, stride=(2, 1)), [2, 2, 5, 6]),
    "Fold": record(nn.Fold((5, 6), (2, 3), dilation=(1, 2), padding=1, stride=(2, 1)), [2, 12, 12]),
    "ZeroPad2d": record(nn.ZeroPad2d((1, 2, 0, 1)), [1, 2, 3, 4]),
    "ConstantPad1d": record(nn.ConstantPad1d(2, 1.5), [1, 2, 3]),
    "ReflectionPad1d": record(nn.ReflectionPad1d((2, 1)), [1, 2, 3]),
    "ReflectionPad2d": record(nn.ReflectionPad2d((2, 1, 0, 2)), [1, 2, 3, 4]),
    "ReplicationPad2d": record(nn.ReplicationPad2d((2, 1, 0, 4)), [1, 2, 3, 4]),
    "CircularPad2d": record(nn.CircularPad2d((2, 1, 0, 3)), [1, 2, 3, 4]),
}

path = pathlib.Path(__file__).parents[2] / "test/golden/conv.json"
path.write_text(json.dumps(cases, indent=1) + "\n")
print(path, len(cases), "cases, torch", torch.__version__)
