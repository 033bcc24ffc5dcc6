"""The JAX twin of bench/workloads.ts: the same models, shapes, losses and optimizers, one jitted step with donated buffers.

python bench.py --workload b [--dtype f32|bf16] [--threads 2]

Speaks with its driver as ../rival.py says; without one: `--steps N` prints a summary.
JAX gains much from a malloc that uses huge pages and keeps its memory:
GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=4294967296:glibc.malloc.mmap_threshold=4294967296
"""

import os
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parent.parent))
import rival

options = None

if __name__ == "__main__":
    options = rival.parse(__doc__, ["a", "b", "c", "c1", "d", "e"], ["jit"])
    # Read once, when XLA starts.
    if options.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp


def linear(key, inner, out, bias=True):
    # torch's default: uniform in ±1/sqrt(in)
    bound = inner**-0.5
    w = jax.random.uniform(key, (out, inner), minval=-bound, maxval=bound)
    return {"w": w, "b": jnp.zeros(out)} if bias else {"w": w}


def norm(width):
    return {"g": jnp.ones(width), "b": jnp.zeros(width)}


def dense(p, x, half):
    w = p["w"]
    y = (x.astype(jnp.bfloat16) @ w.T.astype(jnp.bfloat16)).astype(jnp.float32) if half else x @ w.T
    return y + p["b"] if "b" in p else y


def layer_norm(p, x):
    mean = x.mean(-1, keepdims=True)
    var = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p["g"] + p["b"]


def cross_entropy(logits, targets):
    logp = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(logp, targets[..., None], -1).mean()


def gpt(vocab, block, layers, heads, width, batch, half):
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 6 * layers + 8))

    def normal(shape):
        return 0.02 * jax.random.normal(next(keys), shape)

    def made(inner, out):
        return {"w": normal((out, inner)), "b": jnp.zeros(out)}

    params = {
        "wte": normal((vocab, width)),
        "wpe": normal((block, width)),
        "ln_f": norm(width),
        "h": [
            {
                "ln_1": norm(width),
                "attn": made(width, 3 * width),
                "proj": made(width, width),
                "ln_2": norm(width),
                "fc": made(width, 4 * width),
                "out": made(4 * width, width),
            }
            for _ in range(layers)
        ],
    }
    mask = jnp.tril(jnp.ones((block, block), bool))

    def forward(p, ids):
        x = p["wte"][ids] + p["wpe"]
        for layer in p["h"]:
            q, k, v = jnp.split(dense(layer["attn"], layer_norm(layer["ln_1"], x), half), 3, axis=-1)
            q, k, v = (z.reshape(batch, block, heads, -1).transpose(0, 2, 1, 3) for z in (q, k, v))
            scores = jnp.where(mask, q @ k.swapaxes(-1, -2) * (width // heads) ** -0.5, -jnp.inf)
            y = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(batch, block, width)
            x = x + dense(layer["proj"], y, half)
            h = jax.nn.gelu(dense(layer["fc"], layer_norm(layer["ln_2"], x), half), approximate=True)
            x = x + dense(layer["out"], h, half)
        return dense({"w": p["wte"]}, layer_norm(p["ln_f"], x), half)

    ids = jax.random.randint(next(keys), (batch, block), 0, vocab)
    targets = jax.random.randint(next(keys), (batch, block), 0, vocab)
    return params, lambda p, x, y: cross_entropy(forward(p, x), y), ids, targets, (1e-4, 0.1)


def mlp(half):
    a, b, c, d, e = jax.random.split(jax.random.PRNGKey(0), 5)
    params = [linear(a, 784, 512), linear(b, 512, 512), linear(c, 512, 10)]

    def loss(p, x, y):
        h = jax.nn.relu(dense(p[0], x, half))
        return cross_entropy(dense(p[2], jax.nn.relu(dense(p[1], h, half)), half), y)

    return params, loss, jax.random.normal(d, (64, 784)), jax.random.randint(e, (64,), 0, 10), (1e-3, 0.0)


def cnn(half):
    a, b, c, d, e = jax.random.split(jax.random.PRNGKey(0), 5)
    params = {
        # channels last: XLA's CPU convolution is several times slower otherwise
        "c1": {"w": jax.random.normal(a, (3, 3, 1, 16)) / 3, "b": jnp.zeros(16)},
        "c2": {"w": jax.random.normal(b, (3, 3, 16, 32)) / 12, "b": jnp.zeros(32)},
        "head": linear(c, 1568, 10),
    }

    def layer(p, x):
        y = jax.lax.conv_general_dilated(x, p["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + p["b"]
        b, h, w, c = y.shape
        # not reduce_window: the gradient of that costs twice the rest of the step
        return jax.nn.relu(y).reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))

    def loss(p, x, y):
        return cross_entropy(dense(p["head"], layer(p["c2"], layer(p["c1"], x)).reshape(64, -1), half), y)

    return params, loss, jax.random.normal(d, (64, 28, 28, 1)), jax.random.randint(e, (64,), 0, 10), (1e-3, 0.0)


WORKLOADS = {
    "a": lambda half: gpt(50257, 64, 12, 12, 768, 4, half),
    "b": lambda half: gpt(65, 64, 4, 4, 128, 12, half),
    "c": lambda half: gpt(32, 8, 1, 2, 32, 32, half),
    "c1": lambda half: gpt(32, 8, 1, 2, 32, 1, half),
    "d": mlp,
    "e": cnn,
}


def make_step(workload, dtype):
    params, loss, x, y, (lr, decay) = WORKLOADS[workload](dtype == "bf16")

    def update(state, x, y):
        p, m, v, t = state
        value, g = jax.value_and_grad(loss)(p, x, y)
        t = t + 1
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(
            lambda w, a, b: w * (1 - lr * decay) - lr * (a / c1) / (jnp.sqrt(b / c2) + 1e-8), p, m, v
        )
        return (p, m, v, t), value

    jitted = jax.jit(update, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = [(params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.zeros(()))]

    def step():
        state[0], value = jitted(state[0], x, y)
        value.block_until_ready()
        jax.block_until_ready(state[0])
        return value

    return step


def main():
    rival.serve(make_step(options.workload, options.dtype), f"jax {jax.__version__}", options)


if __name__ == "__main__":
    main()
