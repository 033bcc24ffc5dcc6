"""Writes test/golden/optim.json: trajectories of PyTorch's optimizers and schedules.

    python tools/pytorch/golden_optim.py

Each trajectory minimises 0.5 * sum(a * (x - b)^2) + sum(sin(x)) from the same start; every value after every step.
"""
import json
import pathlib

import torch

START = [1.0, -2.0, 0.5, 3.0]
A = [1.0, 0.3, 2.0, 0.05]
B = [0.2, 0.1, -0.4, 1.0]
STEPS = 12

CASES = {
    "sgd": (torch.optim.SGD, dict(lr=0.1)),
    "sgd momentum dampening decay": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.1)),
    "sgd nesterov": (torch.optim.SGD, dict(lr=0.05, momentum=0.8, nesterov=True)),
    "sgd maximize": (torch.optim.SGD, dict(lr=0.01, momentum=0.5, maximize=True)),
    "adam": (torch.optim.Adam, dict(lr=0.1)),
    "adam decay amsgrad": (torch.optim.Adam, dict(lr=0.2, betas=(0.8, 0.9), weight_decay=0.3, amsgrad=True)),
    "adam maximize": (torch.optim.Adam, dict(lr=0.01, maximize=True)),
    "adamw": (torch.optim.AdamW, dict(lr=0.1)),
    "adamw decay eps": (torch.optim.AdamW, dict(lr=0.1, weight_decay=0.5, eps=1e-3)),
    "rmsprop": (torch.optim.RMSprop, dict(lr=0.05)),
    "adagrad": (torch.optim.Adagrad, dict(lr=0.1)),
    "adagrad decay": (
        torch.optim.Adagrad,
        dict(lr=0.2, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, maximize=True),
    ),
    "adadelta": (torch.optim.Adadelta, dict()),
    "adadelta decay": (torch.optim.Adadelta, dict(lr=0.5, rho=0.8, eps=1e-4, weight_decay=0.1)),
    "adamax": (torch.optim.Adamax, dict(lr=0.1)),
    "adamax decay": (torch.optim.Adamax, dict(lr=0.05, betas=(0.8, 0.9), weight_decay=0.1, maximize=True)),
    "nadam": (torch.optim.NAdam, dict(lr=0.05)),
    "nadam decay": (torch.optim.NAdam, dict(lr=0.05, betas=(0.8, 0.9), weight_decay=0.1, momentum_decay=0.1)),
    "nadam decoupled": (torch.optim.NAdam, dict(lr=0.05, weight_decay=0.2, decoupled_weight_decay=True)),
    "radam": (torch.optim.RAdam, dict(lr=0.05)),
    "radam decay": (torch.optim.RAdam, dict(lr=0.05, betas=(0.8, 0.9), weight_decay=0.1)),
    "radam decoupled": (torch.optim.RAdam, dict(lr=0.05, weight_decay=0.2, decoupled_weight_decay=True)),
    "rmsprop centered momentum decay": (
        torch.optim.RMSprop,
        dict(lr=0.02, alpha=0.9, centered=True, momentum=0.5, weight_decay=0.1),
    ),
}


def trajectory(kind, options, dtype):
    x = torch.tensor(START, dtype=dtype, requires_grad=True)
    a, b = torch.tensor(A, dtype=dtype), torch.tensor(B, dtype=dtype)
    optimizer = kind([x], **options)
    rows = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        (0.5 * (a * (x - b) ** 2).sum() + x.sin().sum()).backward()
        optimizer.step()
        rows.append([float(v) for v in x.detach()])
    return rows


def rates(make, steps):
    x = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


IDS = [4, 1, 1, 0, 4, 4]


def table_rows(make, steps):
    """An embedding with sparse gradients: 0.5 * sum((row - target)^2) over ids that move on with the step."""
    weight = torch.arange(18, dtype=torch.float64).reshape(6, 3).sin().requires_grad_()
    target = torch.arange(18, dtype=torch.float64).reshape(6, 3) * 0.1
    optimizer = make([weight])
    rows = []
    for step in range(steps):
        optimizer.zero_grad()
        ids = (torch.tensor(IDS) + step) % 6
        (0.5 * (torch.nn.functional.embedding(ids, weight, sparse=True) - target).square().sum()).backward()
        optimizer.step()
        rows.append([float(v) for v in weight.detach().flatten()])
    return rows


ROWS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd maximize": lambda p: torch.optim.SGD(p, lr=0.01, maximize=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.1),
    "sparseadam": lambda p: torch.optim.SparseAdam(p, lr=0.1, betas=(0.8, 0.9)),
}

lr = torch.optim.lr_scheduler
golden = {
    "torch": torch.__version__.split("+")[0],
    "start": START,
    "a": A,
    "b": B,
    "trajectories": {
        name: {"options": {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
               "f64": trajectory(kind, options, torch.float64),
               "f32": trajectory(kind, options, torch.float32)}
        for name, (kind, options) in CASES.items()
    },
    "rows": {name: table_rows(make, 5) for name, make in ROWS.items()},
    "schedules": {
        "linear": rates(lambda o: lr.LinearLR(o, start_factor=0.5, total_iters=4), 6),
        "cosine": rates(lambda o: lr.CosineAnnealingLR(o, T_max=4, eta_min=0.1), 5),
        "multiStep": rates(lambda o: lr.MultiStepLR(o, [1, 3], gamma=0.1), 5),
        "step": rates(lambda o: lr.StepLR(o, 2, gamma=0.5), 7),
        "polynomial": rates(lambda o: lr.PolynomialLR(o, total_iters=5, power=2.0), 8),
        "warmRestarts": rates(lambda o: lr.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.1), 14),
        "cyclic": rates(lambda o: lr.CyclicLR(o, 0.1, 1.0, step_size_up=3, step_size_down=4), 16),
        "cyclic triangular2": rates(lambda o: lr.CyclicLR(o, 0.1, 1.0, step_size_up=3, mode="triangular2"), 16),
        "cyclic exp_range": rates(lambda o: lr.CyclicLR(o, 0.1, 1.0, step_size_up=2, mode="exp_range", gamma=0.9), 12),
        "multiplicative": rates(lambda o: lr.MultiplicativeLR(o, lambda step: 0.9 if step % 2 else 0.5), 6),
        "lambda": rates(lambda o: lr.LambdaLR(o, lambda step: 1 / (1 + step)), 6),
        "constantFactor": rates(lambda o: lr.ConstantLR(o, factor=0.25, total_iters=3), 6),
        "sequential": rates(
            lambda o: lr.SequentialLR(
                o, [lr.LinearLR(o, start_factor=0.1, total_iters=3), lr.ExponentialLR(o, gamma=0.5)], milestones=[3]
            ),
            8,
        ),
        "chained": rates(
            lambda o: lr.ChainedScheduler(
                [lr.LinearLR(o, start_factor=0.1, total_iters=3), lr.ExponentialLR(o, gamma=0.5)]
            ),
            8,
        ),
        "oneCycle": rates(lambda o: lr.OneCycleLR(o, max_lr=1.0, total_steps=10), 10),
    },
}
path = pathlib.Path(__file__).resolve().parents[2] / "test" / "golden" / "optim.json"
lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in golden["trajectories"].items()]
golden["trajectories"] = {}
text = json.dumps(golden, indent=1).replace('"trajectories": {}', '"trajectories": {\n' + ",\n".join(lines) + "\n}")
path.write_text(text + "\n")
