/** Faults that the fuzzer found, one by one, and options: a misspelt one is refused everywhere, never passed over. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { Dice } from './dice.js';
import { recipes } from './recipes.js';
import { allTargets } from './targets.js';
import { Values } from './values.js';

const code = (expected: string): unknown => expect.objectContaining({ code: expected });

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

describe('an option that does not exist', () => {
  // Their last argument is not an object of options, but values by name.
  const other = ['customFunction', 'setRngState', 'io.saveCheckpoint', 'io.loadCheckpoint', 'data.TensorDataset', 'nn.ModuleDict', 'io.saveSafetensors']; // prettier-ignore
  const takers = allTargets().filter(({ name }) => {
    const last = recipes[name]?.(new Values(new Dice(1, 1), true, undefined)).at(-1);
    return isPlain(last) && !other.includes(name);
  });

  it.each(takers.map((target) => [target.name, target] as const))('is refused by %s', (name, target) => {
    const call = target.make(new Values(new Dice(1, 1), true, undefined));
    const args = recipes[name]?.(new Values(new Dice(1, 1), true, undefined)) ?? [];
    const last = args.at(-1);
    args[args.length - 1] = { ...(isPlain(last) ? last : {}), notAnOption: 1 };
    expect(() => call.run(args)).toThrow(code('ERR_OPTION'));
  });

  it('is refused by modules in forward and by losses', () => {
    const x = gp.randn([1, 3, 4]);
    const masks: object = { isCasual: true };
    expect(() => new gp.nn.MultiheadAttention(4, 2).forward(x, masks)).toThrow(code('ERR_OPTION'));
    expect(() => new gp.nn.TransformerEncoderLayer(4, 2).forward(x, masks)).toThrow(code('ERR_OPTION'));
    const loss: object = { redction: 'sum' };
    expect(() => new gp.nn.BCELoss(loss)).toThrow(code('ERR_OPTION'));
    expect(() => new gp.nn.MSELoss(loss)).toThrow(code('ERR_OPTION'));
  });

  it('of another type than it needs is refused, not taken for its default', () => {
    const bias: object = { bias: null };
    expect(() => new gp.nn.Linear(2, 3, bias)).toThrow(code('ERR_ARGUMENT'));
    const activation: object = { activation: 'gelU' };
    expect(() => new gp.nn.TransformerEncoderLayer(4, 2, activation)).toThrow(code('ERR_VALUE'));
    const mode: object = { mode: 'maximum' };
    const opt = new gp.optim.SGD(new gp.nn.Linear(1, 1).parameters());
    expect(() => new gp.optim.ReduceOnPlateau(opt, mode)).toThrow(code('ERR_VALUE'));
  });
});

describe('found by the fuzzer', () => {
  it('unview with strides that leave the tensor is refused (it wrote beyond its memory)', () => {
    const dy = gp.ones([2, 2]);
    expect(() => gp.unview(dy, { shape: [3, 4], stride: [2], offset: 4 })).toThrow(code('ERR_SHAPE'));
    expect(() => gp.unview(dy, { shape: [3, 4], stride: [400, 1] })).toThrow(code('ERR_SHAPE'));
    expect(() => gp.unview(dy, { shape: [3, 4], stride: [4, 1], offset: -1 })).toThrow(code('ERR_SHAPE'));
  });

  it('a view that meets an element twice is refused (its gradient lost all but one of them)', () => {
    const x = gp.randn([6]);
    expect(() => x.asStrided([5, 2], [1, 1])).toThrow('meets an element twice');
    expect(x.asStrided([3, 2], [2, 1]).shape).toEqual([3, 2]);
  });

  it('views of empty tensors can be used', () => {
    const empty = gp.zeros([3, 0, 2]);
    expect(empty.select(2, 1).add(1).shape).toEqual([3, 0]);
    expect(gp.stack([empty, empty], 3).select(3, 1).clone().numel).toBe(0);
  });

  it('lists that contain themselves, absurd sizes and too many pieces are errors, not the end of the process', () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    const run = (f: unknown, ...args: unknown[]): unknown =>
      typeof f === 'function' ? Reflect.apply(f, undefined, args) : f;
    expect(() => run(gp.tensor, cyclic)).toThrow(code('ERR_SHAPE'));
    expect(() => gp.linspace(0, 1, 2 ** 53 - 1)).toThrow(code('ERR_VALUE'));
    const wide = gp.ones([1]).expand([2 ** 40]);
    expect(() => wide.data()).toThrow(code('ERR_OUT_OF_MEMORY'));
    expect(() => wide.unbind()).toThrow(code('ERR_VALUE'));
    expect(() => wide.split(1)).toThrow(code('ERR_VALUE'));
    expect(() => gp.ones([3, 1]).mul(gp.ones([1]).expand([2 ** 50]))).toThrow(code('ERR_SHAPE'));
    expect(() => gp.zeros([0, 2 ** 52, 2 ** 52])).toThrow(code('ERR_SHAPE'));
    expect(() => new gp.models.GPT({ vocab: 5, block: 4, layers: 2 ** 31, heads: 2, width: 4 })).toThrow(
      code('ERR_VALUE'),
    );
  });

  it('a list given as a shape may change afterwards without changing the tensor', () => {
    const shape = [2, 3];
    const x = gp.zeros(shape);
    const y = x.expand(shape);
    shape[0] = 1000;
    expect([x.shape, y.shape]).toEqual([[2, 3], [2, 3]]); // prettier-ignore
  });

  it('ravelIndex needs one index per size', () => {
    const ids = gp.tensor([0, 1], { dtype: 'i64' });
    expect(() => gp.ravelIndex([ids], { sizes: [3, 4] })).toThrow(code('ERR_SHAPE'));
    expect(() => gp.ravelIndex([ids, ids.unsqueeze(0)], { sizes: [3, 4] })).toThrow(code('ERR_SHAPE'));
  });
});
