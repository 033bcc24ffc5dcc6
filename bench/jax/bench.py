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
    options = rival.parse(__doc__, "a a16 a1k b c c1 d e f g h i".split(), ["jit"])
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


def adam(params, grads, moments, lr=1e-3, decay=0.0):
    m, v, t = moments
    t = t + 1
    m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, grads)
    v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, grads)
    c1, c2 = 1 - 0.9**t, 1 - 0.999**t
    params = jax.tree.map(
        lambda w, a, b: w * (1 - lr * decay) - lr * (a / c1) / (jnp.sqrt(b / c2) + 1e-8), params, m, v
    )
    return params, (m, v, t)


def moments(params):
    return jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), jnp.zeros(())


def trained(params, loss, x, y, **hyper):
    def update(state, x, y):
        p, m = state
        value, g = jax.value_and_grad(loss)(p, x, y)
        return adam(p, g, m, **hyper), value

    return (params, moments(params)), update, x, y


def transformer(layers, width, made):
    def layer():
        return {
            "ln_1": norm(width),
            "attn": made(width, 3 * width),
            "proj": made(width, width),
            "ln_2": norm(width),
            "fc": made(width, 4 * width),
            "out": made(4 * width, width),
        }

    return [layer() for _ in range(layers)]


def block(p, x, heads, half, mask=True):
    batch, time, width = x.shape
    q, k, v = jnp.split(dense(p["attn"], layer_norm(p["ln_1"], x), half), 3, axis=-1)
    q, k, v = (z.reshape(batch, time, heads, -1).transpose(0, 2, 1, 3) for z in (q, k, v))
    scores = jnp.where(mask, q @ k.swapaxes(-1, -2) * (width // heads) ** -0.5, -jnp.inf)
    y = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(batch, time, width)
    x = x + dense(p["proj"], y, half)
    h = jax.nn.gelu(dense(p["fc"], layer_norm(p["ln_2"], x), half), approximate=True)
    return x + dense(p["out"], h, half)


def gpt(vocab, time, layers, heads, width, batch, half):
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 4 * layers + 4))

    def normal(shape):
        return 0.02 * jax.random.normal(next(keys), shape)

    def made(inner, out):
        return {"w": normal((out, inner)), "b": jnp.zeros(out)}

    params = {
        "wte": normal((vocab, width)),
        "wpe": normal((time, width)),
        "h": transformer(layers, width, made),
        "ln_f": norm(width),
    }
    mask = jnp.tril(jnp.ones((time, time), bool))

    def loss(p, ids, targets):
        x = p["wte"][ids] + p["wpe"]
        for layer in p["h"]:
            x = block(layer, x, heads, half, mask)
        return cross_entropy(dense({"w": p["wte"]}, layer_norm(p["ln_f"], x), half), targets)

    ids, targets = (jax.random.randint(next(keys), (batch, time), 0, vocab) for _ in range(2))
    return trained(params, loss, ids, targets, lr=1e-4, decay=0.1)


def mlp(half):
    a, b, c, d, e = jax.random.split(jax.random.PRNGKey(0), 5)
    params = [linear(a, 784, 512), linear(b, 512, 512), linear(c, 512, 10)]

    def loss(p, x, y):
        h = jax.nn.relu(dense(p[0], x, half))
        return cross_entropy(dense(p[2], jax.nn.relu(dense(p[1], h, half)), half), y)

    return trained(params, loss, jax.random.normal(d, (64, 784)), jax.random.randint(e, (64,), 0, 10))


def conv(w, x, stride=1):
    # Channels last: XLA's CPU convolution is several times slower otherwise. bf16 or a matrix product gain nothing.
    edge = (w.shape[0] // 2,) * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (stride, stride), (edge, edge), dimension_numbers=layout)


def cnn(half):
    a, b, c, d, e = jax.random.split(jax.random.PRNGKey(0), 5)
    params = {
        "c1": {"w": jax.random.normal(a, (3, 3, 1, 16)) / 3, "b": jnp.zeros(16)},
        "c2": {"w": jax.random.normal(b, (3, 3, 16, 32)) / 12, "b": jnp.zeros(32)},
        "head": linear(c, 1568, 10),
    }

    def layer(p, x):
        y = conv(p["w"], x) + p["b"]
        b, h, w, c = y.shape
        # not reduce_window: the gradient of that costs twice the rest of the step
        return jax.nn.relu(y).reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))

    def loss(p, x, y):
        return cross_entropy(dense(p["head"], layer(p["c2"], layer(p["c1"], x)).reshape(64, -1), half), y)

    return trained(params, loss, jax.random.normal(d, (64, 28, 28, 1)), jax.random.randint(e, (64,), 0, 10))


def char_lstm(vocab, width, time, batch, half):
    a, b, c, d, e, f = jax.random.split(jax.random.PRNGKey(0), 6)
    params = {
        "embed": jax.random.normal(a, (vocab, width)),
        "inner": linear(b, width, 4 * width),
        "recurrent": linear(c, width, 4 * width),
        "head": linear(d, width, vocab),
    }

    def loss(p, ids, targets):
        def cell(state, gates):
            h, c = state
            i, f, g, o = jnp.split(gates + dense(p["recurrent"], h, half), 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((batch, width))
        # the input's share of the gates is one product over all steps
        _, y = jax.lax.scan(cell, (zeros, zeros), dense(p["inner"], p["embed"][ids], half))
        return cross_entropy(dense(p["head"], y, half), targets)

    ids, targets = (jax.random.randint(key, (time, batch), 0, vocab) for key in (e, f))
    return trained(params, loss, ids, targets)


def resnet(half):
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 32))
    shapes = [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]
    running = []

    def made(size, before, out):
        running.append((jnp.zeros(out), jnp.ones(out)))
        w = (2 / (size * size * out)) ** 0.5 * jax.random.normal(next(keys), (size, size, before, out))
        return {"w": w, **norm(out)}

    def basic(before, out, stride):
        down = made(1, before, out) if stride != 1 else None
        return {"down": down, "1": made(3, before, out), "2": made(3, out, out)}

    channels = [64] + [out for out, _ in shapes]
    params = {
        "stem": made(3, 3, 64),
        "blocks": [basic(before, *shape) for before, shape in zip(channels, shapes)],
        "head": linear(next(keys), 512, 10),
    }

    def loss(p, x, y):
        stats = []

        def layer(p, x, stride=1):
            x = conv(p["w"], x, stride)
            mean = x.mean((0, 1, 2))
            var = jnp.square(x - mean).mean((0, 1, 2))
            count = x.size // mean.size
            stats.append((mean, var * (count / (count - 1))))
            return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p["g"] + p["b"]

        x = jax.nn.relu(layer(p["stem"], x))
        for q, (_, stride) in zip(p["blocks"], shapes):
            shortcut = x if q["down"] is None else layer(q["down"], x, stride)
            x = jax.nn.relu(layer(q["2"], jax.nn.relu(layer(q["1"], x, stride))) + shortcut)
        return cross_entropy(dense(p["head"], x.mean((1, 2)), half), y), stats

    def update(state, x, y):
        p, m, running = state
        (value, stats), g = jax.value_and_grad(loss, has_aux=True)(p, x, y)
        return (*adam(p, g, m), jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, running, stats)), value

    x, y = jax.random.normal(next(keys), (32, 32, 32, 3)), jax.random.randint(next(keys), (32,), 0, 10)
    return (params, moments(params), running), update, x, y


def vit(size, layers, heads, width, half):
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 4 * layers + 5))
    tokens = (32 // size) ** 2
    params = {
        "patch": linear(next(keys), 3 * size * size, width),
        "position": jax.random.normal(next(keys), (tokens, width)),
        "h": transformer(layers, width, lambda inner, out: linear(next(keys), inner, out)),
        "ln_f": norm(width),
        "head": linear(next(keys), width, 10),
    }

    def loss(p, x, y):
        patches = x.reshape(32, 3, 32 // size, size, 32 // size, size).transpose(0, 2, 4, 1, 3, 5)
        x = dense(p["patch"], patches.reshape(32, tokens, -1), half) + p["position"]
        for layer in p["h"]:
            x = block(layer, x, heads, half)
        return cross_entropy(dense(p["head"], layer_norm(p["ln_f"], x).mean(1), half), y)

    x, y = jax.random.normal(next(keys), (32, 3, 32, 32)), jax.random.randint(next(keys), (32,), 0, 10)
    return trained(params, loss, x, y)


def recommender(tables, rows, width, batch, half):
    a, b, c, d, e = jax.random.split(jax.random.PRNGKey(0), 5)
    top = [linear(a, tables * width, 256), linear(b, 256, 1)]
    table = jax.random.normal(c, (tables * rows, width))

    def loss(p, found, y):
        x = found.reshape(tables, batch, width).swapaxes(0, 1).reshape(batch, -1)
        z = dense(p[1], jax.nn.relu(dense(p[0], x, half)), half)[:, 0]
        return (jax.nn.softplus(z) - z * y).mean()

    def update(state, ids, y):
        p, m, table, sums, place = state
        ids = (ids + rows * jnp.arange(tables)[:, None]).ravel()
        found = table[ids]
        value, (g, by_row) = jax.value_and_grad(loss, (0, 1))(p, found, y)
        # Duplicates without a sort, which takes longer than the step: look-ups of a row agree on a place, add up there
        # and all write the same.
        place = place.at[ids].set(jnp.arange(ids.size))
        agreed = place[ids]
        by_row = jnp.zeros_like(by_row).at[agreed].add(by_row)[agreed]
        seen = sums[ids] + by_row**2
        table = table.at[ids].set(found - 1e-2 * by_row / (jnp.sqrt(seen) + 1e-10))
        return (*adam(p, g, m), table, sums.at[ids].set(seen), place), value

    ids, y = jax.random.randint(d, (tables, batch), 0, rows), jax.random.bernoulli(e, 0.5, (batch,)).astype(jnp.float32)
    return (top, moments(top), table, jnp.zeros_like(table), jnp.zeros(len(table), int)), update, ids, y


WORKLOADS = {
    "a": lambda half: gpt(50257, 64, 12, 12, 768, 4, half),
    "a16": lambda half: gpt(50257, 64, 12, 12, 768, 16, half),
    "a1k": lambda half: gpt(50257, 1024, 12, 12, 768, 1, half),
    "b": lambda half: gpt(65, 64, 4, 4, 128, 12, half),
    "c": lambda half: gpt(32, 8, 1, 2, 32, 32, half),
    "c1": lambda half: gpt(32, 8, 1, 2, 32, 1, half),
    "d": mlp,
    "e": cnn,
    "f": lambda half: char_lstm(65, 256, 64, 32, half),
    "g": resnet,
    "h": lambda half: vit(4, 12, 3, 192, half),
    "i": lambda half: recommender(26, 100_000, 16, 2048, half),
}


def make_step(workload, dtype):
    start, update, x, y = WORKLOADS[workload](dtype == "bf16")
    jitted = jax.jit(update, donate_argnums=0)
    state = [start]

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
