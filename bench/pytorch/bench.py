"""The PyTorch twin of bench/workloads.ts: the same models, shapes, losses and optimizers.

python bench.py --workload b --mode eager|compile [--dtype f32|bf16] [--threads 2]

Speaks with its driver as ../rival.py says; without one: `--steps N` prints a summary.
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.append(str(pathlib.Path(__file__).parent.parent))
import rival


class Block(nn.Module):
    def __init__(self, width, heads, causal=True):
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.ln_1 = nn.LayerNorm(width)
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_out = nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(c, dim=2)
        q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.c_proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab, block, layers, heads, width):
        super().__init__()
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(block, width)
        self.h = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.lm_head.weight = self.wte.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0.0, 0.02)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def gpt(vocab, block, layers, heads, width, batch):
    model = GPT(vocab, block, layers, heads, width)
    ids = torch.randint(0, vocab, (batch, block))
    targets = torch.randint(0, vocab, (batch, block))
    return model, ids, lambda y: F.cross_entropy(y.view(-1, vocab), targets.view(-1)), "adamw"


def mlp():
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    targets = torch.randint(0, 10, (64,))
    return model, torch.randn(64, 784), lambda y: F.cross_entropy(y, targets), "adam"


def cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1568, 10),
    )
    targets = torch.randint(0, 10, (64,))
    return model, torch.randn(64, 1, 28, 28), lambda y: F.cross_entropy(y, targets), "adam"


class BasicBlock(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or before != channels:
            self.downsample = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ViT(nn.Module):
    def __init__(self, tokens, patch, layers, heads, width):
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, stride=patch)
        self.position = nn.Embedding(tokens, width)
        self.h = nn.ModuleList([Block(width, heads, causal=False) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        x = self.patch(images).flatten(2).transpose(1, 2)
        x = x + self.position(torch.arange(x.shape[1]))
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x).mean(1))


def vit():
    targets = torch.randint(0, 10, (32,))
    return ViT(64, 4, 12, 3, 192), torch.randn(32, 3, 32, 32), lambda y: F.cross_entropy(y, targets), "adam"


def resnet():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    before = 64
    for channels, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]:
        layers.append(BasicBlock(before, channels, stride))
        before = channels
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    targets = torch.randint(0, 10, (32,))
    return model, torch.randn(32, 3, 32, 32), lambda y: F.cross_entropy(y, targets), "adam"


class CharLSTM(nn.Module):
    def __init__(self, vocab, width):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.lstm = nn.LSTM(width, width)
        self.head = nn.Linear(width, vocab)

    def forward(self, ids):
        return self.head(self.lstm(self.embed(ids))[0])


def char_lstm(vocab, width, time, batch):
    ids = torch.randint(0, vocab, (time, batch))
    targets = torch.randint(0, vocab, (time, batch))
    return CharLSTM(vocab, width), ids, lambda y: F.cross_entropy(y.view(-1, vocab), targets.view(-1)), "adam"


class Recommender(nn.Module):
    def __init__(self, tables, rows, width):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width, sparse=True) for _ in range(tables))
        self.top = nn.Sequential(nn.Linear(tables * width, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, ids):
        return self.top(torch.cat([table(ids[i]) for i, table in enumerate(self.tables)], 1)).squeeze(1)


def recommender(tables, rows, width, batch):
    ids = torch.randint(0, rows, (tables, batch))
    targets = torch.randint(0, 2, (batch,)).float()
    model = Recommender(tables, rows, width)
    return model, ids, lambda y: F.binary_cross_entropy_with_logits(y, targets), "rows"


class Both:
    def __init__(self, *optimizers):
        self.optimizers = optimizers

    def zero_grad(self, set_to_none):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()


WORKLOADS = {
    "a": lambda: gpt(50257, 64, 12, 12, 768, 4),
    "a16": lambda: gpt(50257, 64, 12, 12, 768, 16),
    "a1k": lambda: gpt(50257, 1024, 12, 12, 768, 1),
    "b": lambda: gpt(65, 64, 4, 4, 128, 12),
    "c": lambda: gpt(32, 8, 1, 2, 32, 32),
    "c1": lambda: gpt(32, 8, 1, 2, 32, 1),
    "d": mlp,
    "e": cnn,
    "g": resnet,
    "h": vit,
    "f": lambda: char_lstm(65, 256, 64, 32),
    "i": lambda: recommender(26, 100_000, 16, 2048),
}


def make_step(workload, mode, dtype):
    torch.manual_seed(0)
    model, x, loss_of, kind = WORKLOADS[workload]()
    fused = mode == "compile"
    if kind == "adamw":
        opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=fused or None)
    elif kind == "rows":
        dense = torch.optim.Adam(model.top.parameters(), lr=1e-3, fused=fused or None)
        opt = Both(torch.optim.Adagrad(model.tables.parameters(), lr=1e-2), dense)
    else:
        opt = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused or None)
    forward = torch.compile(model) if mode == "compile" else model
    half = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16")

    def step():
        opt.zero_grad(set_to_none=True)
        with half:
            loss = loss_of(forward(x))
        loss.backward()
        opt.step()
        return loss

    return step


def main():
    options = rival.parse(__doc__, WORKLOADS, ["eager", "compile"])
    torch.set_num_threads(options.threads)
    rival.serve(make_step(options.workload, options.mode, options.dtype), f"torch {torch.__version__}", options)


if __name__ == "__main__":
    main()
