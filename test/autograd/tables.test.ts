/** Gradients of large tables: rows join what is there already, and nobody but the engine sees it. */
import { afterEach, describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, optim, type Tensor } from 'gradproof';
import { addRows_, embeddingRows } from '../../lib/ops/embedding_rows.js';
import { state, type Recorder } from '../../lib/ops/gateway/state.js';

// 2¹⁸ elements: the smallest table whose gradient goes by rows; ids with repetitions, out of order
const [ROWS, WIDTH] = [2048, 128];
const IDS = [7, 2047, 7, 0, 1024, 0, 7];

function table(): Tensor {
  return gp.randn([ROWS, WIDTH]).mul(0.1).requiresGrad_();
}

function ids(...list: number[]): Tensor {
  return gp.tensor(list, { dtype: 'i64' });
}

function bytesOf(t: Tensor | null): Uint8Array {
  const values = t!.detach().data();
  if (typeof values === 'string' || !ArrayBuffer.isView(values)) throw new TypeError('no bytes');
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Whether two tensors have the same bits; comparing hundreds of thousands of numbers by `toEqual` takes seconds. */
function same(a: Tensor | null, b: Tensor | null): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

/** The launches of a call, and its gradients by rows as they arrive. */
function launches(body: () => void): string[] {
  const names: string[] = [];
  const recorder: Recorder = { launched: ({ op }) => names.push(op.name) };
  state.recorder = recorder;
  try {
    body();
  } finally {
    state.recorder = null;
  }
  return names;
}

/**
 * A head tied to its table; with two tables the gradient of each use is told apart. Not a mean: gradients that underflow to −0
 * in f16 keep their sign where no row is added.
 */
function tied(lookup: Tensor, head: Tensor, list: Tensor = ids(...IDS), options: gp.EmbeddingOptions = {}): Tensor {
  return gp
    .linear(gp.embedding(list, lookup, options).tanh(), head)
    .square()
    .sum();
}

/** The gradients of the uses of `w`, each on its own. */
function apart(w: Tensor, loss: (a: Tensor, b: Tensor) => Tensor): [Tensor, Tensor] {
  const [a, b] = [w.detach().clone().requiresGrad_(), w.detach().clone().requiresGrad_()];
  loss(a, b).backward();
  return [a.grad!, b.grad!];
}

afterEach(() => {
  state.recorder = null;
});

describe('a table tied to a head', () => {
  it('gets its rows added into the gradient of the head, with the bits of the sum', () => {
    gp.manualSeed(1);
    const w = table();
    const names = launches(() => {
      tied(w, w).backward();
    });
    expect(names).toContain('add_rows_');
    expect(names).not.toContain('embedding_backward');
    expect(names).not.toContain('rows_to_dense');
    expect(names).not.toContain('add');
    const [a, b] = apart(w, tied);
    expect(same(w.grad, b.add(a))).toBe(true);
    expect(Object.getPrototypeOf(w.grad)).toBe(gp.Tensor.prototype);
  });

  it('has the same gradient when somebody watches, who sees the whole table', () => {
    gp.manualSeed(1);
    const w = table();
    tied(w, w).backward();
    const plain = w.grad!;
    w.grad = null;
    const seen: string[] = [];
    state.recorder = { called: ({ name }) => seen.push(name) };
    tied(w, w).backward();
    state.recorder = null;
    expect(seen).toContain('embedding_backward');
    expect(seen).not.toContain('add_rows_');
    expect(same(w.grad, plain)).toBe(true);
  });

  it.each(['padding', 'scaled by frequency', 'f64', 'f16', 'bf16'] as const)('%s: the sum of both uses', (what) => {
    gp.manualSeed(2);
    const dtype = what === 'f64' || what === 'f16' || what === 'bf16' ? what : 'f32';
    const w = table().detach().to(dtype).requiresGrad_();
    const options = what === 'padding' ? { paddingIdx: 7 } : { scaleGradByFreq: what === 'scaled by frequency' };
    const loss = (a: Tensor, b: Tensor): Tensor => tied(a, b, ids(...IDS), options);
    const names = launches(() => {
      loss(w, w).backward();
    });
    expect(names).toContain('add_rows_');
    const [a, b] = apart(w, loss);
    expect(same(w.grad, b.add(a))).toBe(true);
  });

  it('trains captured with the bits of eager, in f32 and under autocast', () => {
    for (const dtype of ['f32', 'bf16'] as const) {
      const train = (captured: boolean): { readonly w: Tensor; readonly text: string } => {
        gp.manualSeed(3);
        const w = table();
        const opt = new optim.AdamW([w], { lr: 1e-2, weightDecay: 0.1 });
        const line = (list: Tensor): Tensor => {
          opt.zeroGrad();
          const loss = dtype === 'f32' ? tied(w, w, list) : gp.autocast(dtype, () => tied(w, w, list));
          loss.backward();
          opt.step();
          return loss.detach();
        };
        const compiled = gp.compile(line);
        for (let i = 0; i < 4; i++) (captured ? compiled : line)(ids(...IDS.map((id) => (id + i) % ROWS)));
        return { w, text: captured ? String(compiled.programs[0]) : '' };
      };
      const { w, text } = train(true);
      expect(text).toContain('add_rows_');
      expect(text).not.toContain('embedding_backward');
      expect(same(w, train(false).w)).toBe(true);
    }
  });
});

describe('a gradient that rows are added to', () => {
  it('may be the one of earlier passes', () => {
    gp.manualSeed(4);
    const w = table();
    const pass = (list: Tensor): Tensor => gp.embedding(list, w).square().sum();
    pass(ids(...IDS)).backward();
    const first = w.grad!;
    const before = first.clone();
    const names = launches(() => {
      pass(ids(5, 7)).backward();
    });
    expect(names).toContain('add_rows_');
    expect(names).not.toContain('rows_to_dense');
    expect(w.grad).toBe(first);
    const v = w.detach().clone().requiresGrad_();
    gp.embedding(ids(5, 7), v).square().sum().backward();
    expect(same(w.grad, before.add(v.grad!))).toBe(true);
  });

  it('may be a strided one', () => {
    const w = table();
    w.grad = gp.ones([WIDTH, ROWS]).t();
    gp.embedding(ids(5, 7), w).sum().backward();
    expect(w.grad.sum(1).toArray()).toEqual(Array.from({ length: ROWS }, (_, i) => (i === 5 || i === 7 ? 256 : 128)));
  });

  it('is not one that another leaf shares', () => {
    const [w, other] = [table(), table()];
    // add hands one gradient to both
    gp.embedding(ids(...IDS), w)
      .sum()
      .add(w.add(other).square().sum())
      .backward();
    const want = w.detach().add(other.detach()).mul(2);
    expect(same(other.grad, want)).toBe(true);
    const [lookup] = apart(w, (a, b) =>
      gp
        .embedding(ids(...IDS), a)
        .sum()
        .add(b.sum()),
    );
    expect(same(w.grad, want.add(lookup))).toBe(true);
  });

  it('is not what a hook, or who keeps it, has seen', () => {
    const w = table();
    const kept: Tensor[] = [];
    const double = gp.customFunction({
      forward: (_, x: Tensor) => x.mul(2),
      backward: (_, dy: Tensor) => {
        kept.push(gp.keep(dy.mul(2)));
        return kept[0]!;
      },
    });
    const list = gp.embedding(ids(...IDS), w);
    list.sum().add(double(w).sum()).backward();
    expect(kept[0]!.eq(2).all().item()).toBe(1);
    expect(w.grad!.sum().item()).toBe(2 * ROWS * WIDTH + IDS.length * WIDTH);
  });

  it('is not the gradient that somebody gave', () => {
    const w = table();
    const dy = gp.ones([ROWS, WIDTH]);
    const lookup = gp.embedding(ids(...IDS), w);
    gp.scatterAdd(w, 0, ids(1).reshape([1, 1]).expand([1, WIDTH]), lookup.narrow(0, 0, 1)).backward(dy);
    expect(dy.eq(1).all().item()).toBe(1);
    expect(w.grad!.sum().item()).toBe(ROWS * WIDTH + WIDTH);
  });
});

describe('a table on its own', () => {
  it('has a whole gradient: two lookups, hooks, gp.grad, optimizers', () => {
    gp.manualSeed(5);
    const w = table();
    const loss = (a: Tensor, b: Tensor): Tensor =>
      gp
        .embedding(ids(...IDS), a)
        .square()
        .sum()
        .add(gp.embedding(ids(7, 9), b).sin().sum());
    let hooked: Tensor | null = null;
    const off = w.registerHook((dy) => {
      hooked = dy.clone();
      return dy.mul(1);
    });
    loss(w, w).backward();
    off();
    const [a, b] = apart(w, loss);
    expect(same(hooked, b.add(a))).toBe(true);
    expect(same(w.grad, b.add(a))).toBe(true);
    expect(same(gp.grad([loss(w, w)], [w])[0]!, b.add(a))).toBe(true);
    new optim.Adam([w]).step();
  });

  it('may have its gradient kept behind a captured step', () => {
    const w = table();
    const step = gp.compile(
      (list: Tensor) => {
        w.grad = null;
        const value = gp.embedding(list, w).sum();
        value.backward();
        return value.detach();
      },
      { keepGrads: true },
    );
    for (let i = 0; i < 3; i++) step(ids(1, 1, 4));
    expect(w.grad!.sum().item()).toBe(3 * WIDTH);
  });

  it('is settled after the hooks of other leaves', () => {
    const [w, b] = [table(), gp.ones([WIDTH]).requiresGrad_()];
    w.grad = gp.ones([ROWS, WIDTH]);
    b.registerHook(() => {
      w.grad = null;
      return undefined;
    });
    gp.embedding(ids(3), w).mul(b).sum().backward();
    expect(w.grad.sum().item()).toBe(WIDTH);
    new optim.Adam([w]).step();
  });

  it('takes part in second derivatives', () => {
    const w = table();
    const [g] = gp.grad([gp.embedding(ids(3, 3), w).pow(3).sum()], [w], [], { createGraph: true });
    g!.sum().backward();
    expect(
      w
        .grad!.narrow(0, 3, 1)
        .sub(w.detach().narrow(0, 3, 1).mul(12))
        .abs()
        .max()
        .item(),
    ).toBeLessThan(1e-5);
  });

  it('is dense where it is small, or most of it is used', () => {
    const small = gp.randn([ROWS - 1, WIDTH]).requiresGrad_();
    const used = table();
    const all = gp.arange(0, ROWS, 4, { dtype: 'i64' });
    for (const [w, list] of [
      [small, ids(1)],
      [used, all],
    ] as const) {
      // prettier-ignore
      const names = launches(() => {
        gp.embedding(list, w).sum().backward();
      });
      expect(names).toContain('embedding_backward');
      expect(names).not.toContain('embedding_rows');
    }
  });
});

describe('add_rows_', () => {
  const values = gp.ones([3, 2]);
  const add = (list: number[]): number[][] => {
    const y = gp.zeros([5, 2]);
    addRows_.named({ y, values, ids: ids(...list) });
    const answer = y.sum(1).toArray();
    return [Array.isArray(answer) ? answer.map(Number) : []];
  };

  it('ends at −1', () => {
    expect(add([1, 4, -1])).toEqual([[0, 2, 0, 0, 2]]);
    expect(add([-1, -1, -1])).toEqual([[0, 0, 0, 0, 0]]);
  });

  it('refuses rows outside the table and rows that do not ascend, before it writes', () => {
    expect(() => add([0, 1, 5])).toThrow(/index 5 at flat position 2/);
    expect(() => add([1, 1, 2])).toThrow(/the value 1 at flat position 1/);
    expect(() => add([2, 1, 3])).toThrow(/the value 1 at flat position 1/);
    expect(() => gp.rowsToDense(values, ids(2, 1, 3), { rows: 5 })).toThrow(/the value 1 at flat position 1/);
    expect(() => gp.rowsToDense(values, ids(0, 1, 5), { rows: 5 })).toThrow(/index 5 at flat position 2/);
  });

  it('refuses values of another width', () => {
    expect(() => addRows_.named({ y: gp.zeros([5, 3]), values, ids: ids(0, 1, 2) })).toThrow(/rows of f32\[5, 3\]/);
  });

  it('gives what one addition to the whole table gives', () => {
    gp.manualSeed(6);
    const y = gp.randn([ROWS, WIDTH]);
    const rows = embeddingRows.named({ dy: gp.randn([IDS.length, WIDTH]), indices: ids(...IDS) }, { rows: ROWS });
    const whole = gp.rowsToDense(rows.values, rows.ids, { rows: ROWS });
    const want = y.add(whole);
    addRows_.named({ y, values: rows.values, ids: rows.ids });
    expect(same(y, want)).toBe(true);
  });
});

describe('nn', () => {
  it('ties a Linear to an Embedding', () => {
    gp.manualSeed(7);
    const [embedding, head] = [new nn.Embedding(ROWS, WIDTH), new nn.Linear(WIDTH, ROWS, { bias: false })];
    head.weight = embedding.weight;
    const names = launches(() => {
      head
        .forward(embedding.forward(ids(...IDS)))
        .square()
        .mean()
        .backward();
    });
    expect(names).toContain('add_rows_');
  });
});
