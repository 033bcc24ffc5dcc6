/**
 * The encoder of the acceptance cases: one pre-norm transformer layer over one-hot inputs, with every edge a place where a
 * test can cut. Sizes, seeds and the linear congruential generator are aprender's (see the numbers in encoder.test.ts).
 */
import * as gp from '../../lib/index.js';
import type { DType, Tensor } from '../../lib/index.js';

export const WIDTH = 32;
const HEADS = 2;
const SEQUENCE = 8;

/** aprender's generator: s ← s·6364136223846793005 + 1442695040888963407, value = (2·f32(s >> 33)/2³¹ − 1)·scale. */
export class Lcg {
  #state: bigint;
  constructor(seed: bigint) {
    this.#state = BigInt.asUintN(64, seed * 0x9e3779b97f4a7c15n + 1n);
  }
  values(count: number, scale: number): Float64Array {
    return Float64Array.from({ length: count }, () => {
      this.#state = BigInt.asUintN(64, this.#state * 6364136223846793005n + 1442695040888963407n);
      const u = Math.fround(Math.fround(Number(this.#state >> 33n)) / 2 ** 31);
      return Math.fround(Math.fround(Math.fround(2 * u) - 1) * Math.fround(scale));
    });
  }
}

const SHAPES: readonly (readonly [string, readonly number[]])[] = [
  ['q.w', [32, 32]],
  ['q.b', [32]],
  ['k.w', [32, 32]],
  ['k.b', [32]],
  ['v.w', [32, 32]],
  ['v.b', [32]],
  ['out.w', [32, 32]],
  ['out.b', [32]],
  ['linear1.w', [64, 32]],
  ['linear1.b', [64]],
  ['linear2.w', [32, 64]],
  ['linear2.b', [32]],
  ['norm1.g', [32]],
  ['norm1.b', [32]],
  ['norm2.g', [32]],
  ['norm2.b', [32]],
];

/** Every edge at which a test can sever the graph, in forward order. */
export const EDGES = [
  'embed',
  'norm1',
  'q_split',
  'k_split',
  'k_transpose',
  'v_split',
  'scores',
  'softmax',
  'attn_v',
  'merge',
  'attn_out',
  'res1',
  'norm2',
  'linear1',
  'gelu',
  'linear2',
  'res2',
] as const;
export type Edge = (typeof EDGES)[number];

/** The call whose result is cut at each edge. */
export const SITES: Readonly<Record<Edge, string>> = {
  embed: 'matmul#0',
  norm1: 'layer_norm#0',
  q_split: 'permute#0',
  k_split: 'permute#1',
  k_transpose: 'permute#3',
  v_split: 'permute#2',
  scores: 'div#0',
  softmax: 'softmax#0',
  attn_v: 'matmul#2',
  merge: 'view#3',
  attn_out: 'linear#3',
  res1: 'add#0',
  norm2: 'layer_norm#1',
  linear1: 'linear#4',
  gelu: 'gelu#0',
  linear2: 'linear#5',
  res2: 'add#1',
};

export class Encoder {
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly #oneHot: Tensor;
  readonly #targets: Tensor;

  constructor(dtype: DType = 'f32') {
    const lcg = new Lcg(0x5eedn);
    const parameters = new Map<string, Tensor>();
    const put = (name: string, shape: readonly number[], values: Float64Array): void => {
      parameters.set(name, new gp.nn.Parameter(gp.tensor(values, { dtype }).reshape(shape).contiguous()));
    };
    put('embedding', [WIDTH, WIDTH], lcg.values(WIDTH * WIDTH, 0.1));
    const scale = Math.sqrt(1 / 32);
    for (const [name, shape] of SHAPES) {
      const count = shape.reduce((n, m) => n * m, 1);
      put(
        name,
        shape,
        count > 32 ? lcg.values(count, scale) : new Float64Array(count).fill(name.endsWith('.g') ? 1 : 0),
      );
    }
    put('lm.w', [32, 32], lcg.values(1024, scale));
    put('lm.b', [32], new Float64Array(32));
    this.parameters = parameters;
    const t = Array.from({ length: SEQUENCE }, (_, i) => i);
    this.#oneHot = gp.tensor(
      t.map((i) => Array.from({ length: WIDTH }, (_, v) => Number(v === (7 * i + 3) % 32))),
      { dtype: dtype },
    );
    this.#targets = gp.tensor(
      t.map((i) => (5 * i + 11) % 32),
      { dtype: 'i64' },
    );
  }

  p(name: string): Tensor {
    const found = this.parameters.get(name);
    if (found === undefined) throw new Error(`no parameter ${name}`);
    return found;
  }

  /** The mean cross-entropy of inputs (7t + 3) mod 32 against targets (5t + 11) mod 32; `cut` severs one edge. */
  loss(cut?: Edge): Tensor {
    const at = (edge: Edge, t: Tensor): Tensor => (edge === cut ? t.detach() : t);
    const x0 = at('embed', this.#oneHot.matmul(this.p('embedding')));
    const h1 = at('norm1', this.#norm(x0, 'norm1'));
    const q = at('q_split', this.#heads(this.#linear(h1, 'q')));
    const k = at('k_split', this.#heads(this.#linear(h1, 'k')));
    const v = at('v_split', this.#heads(this.#linear(h1, 'v')));
    const kt = at('k_transpose', k.transpose(1, 2));
    const scores = at('scores', q.matmul(kt).div(4));
    const weights = at('softmax', scores.softmax(-1));
    const mixed = at('attn_v', weights.matmul(v));
    const merged = at('merge', mixed.transpose(0, 1).reshape([SEQUENCE, WIDTH]));
    const attended = at('attn_out', this.#linear(merged, 'out'));
    const x1 = at('res1', x0.add(attended));
    const h2 = at('norm2', this.#norm(x1, 'norm2'));
    const wide = at('linear1', this.#linear(h2, 'linear1'));
    const active = at('gelu', wide.gelu({ approximate: 'tanh' }));
    const narrow = at('linear2', this.#linear(active, 'linear2'));
    const x2 = at('res2', x1.add(narrow));
    return gp.crossEntropy(gp.linear(x2, this.p('lm.w'), { bias: this.p('lm.b') }), this.#targets);
  }

  #norm(x: Tensor, name: string): Tensor {
    return gp.layerNorm(x, [WIDTH], { weight: this.p(`${name}.g`), bias: this.p(`${name}.b`), eps: 1e-5 });
  }

  #linear(x: Tensor, name: string): Tensor {
    return gp.linear(x, this.p(`${name}.w`), { bias: this.p(`${name}.b`) });
  }

  /** [T, 32] → [heads, T, 16] */
  #heads(x: Tensor): Tensor {
    return x.reshape([SEQUENCE, HEADS, WIDTH / HEADS]).transpose(0, 1);
  }
}

/** The encoder as a module, so that audit and mutation can be run on it: the parameters keep their names. */
export class EncoderModule extends gp.nn.Module {
  readonly #encoder: Encoder;

  constructor(dtype: DType = 'f32') {
    super();
    this.#encoder = new Encoder(dtype);
    const groups = new Map<string, Record<string, Tensor>>();
    for (const [name, parameter] of this.#encoder.parameters) {
      const [group = '', key] = name.split('.');
      if (key === undefined) Object.assign(this, { [group]: parameter });
      else groups.set(group, { ...groups.get(group), [key]: parameter });
    }
    Object.assign(this, Object.fromEntries(groups));
  }

  override forward(cut?: Edge): Tensor {
    return this.#encoder.loss(cut);
  }
}

/** The reason why the key bias has no gradient, as audits want it declared. */
export const KEY_BIAS = { parameter: 'k.b', because: 'softmax is shift invariant along the keys' };

/** Names of parameters whose gradient is absent or at most `floor` in size. */
export function withoutGradient(model: Encoder, floor: number): string[] {
  const names: string[] = [];
  for (const [name, p] of model.parameters) {
    const size = p.grad === null ? 0 : p.grad.abs().amax().item();
    if (size <= floor) names.push(name);
  }
  return names.sort();
}
