/** What a user might hand over: sensible tensors in every layout, and everything else. */
import * as gp from '../../lib/index.js';
import type { DType } from '../../lib/tensor/dtype.js';
import type { Dice } from './dice.js';

/** Raised by getters and proxies below: a user's own exception, which the library must let through unchanged. */
export class Mark extends Error {
  override readonly name = 'Mark';
}

const DTYPES: readonly DType[] = ['f32', 'f32', 'f32', 'f64', 'f16', 'bf16', 'i64', 'i32', 'u8', 'bool'];
const NUMBERS = [
  0, 1, 2, 3, -1, -2, 0.5, 1.5, -0, 7, 64, 1000, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 31), -(2 ** 53), 1e300, 1e-300,
  5e-324, NaN, Infinity, -Infinity, 2 ** 31 - 1, 2 ** 63, 65536, 1e9,
] as const; // prettier-ignore
const WORDS = ['', 'f32', 'i64', 'cpu', 'mean', 'none', 'sum', 'no', 'x', '__proto__', 'constructor', '-1', 'é𝄞', 'cuda', 'fake:9'] as const; // prettier-ignore

export class Values {
  readonly dice: Dice;
  /** Hand over row-major copies instead of views: the same call with the same values. */
  readonly plain: boolean;
  readonly #fake: string | undefined;
  readonly #writes: boolean;

  /** `writes`: to files, which may have as many gigabytes as somebody asks for; no case needs to. */
  constructor(dice: Dice, plain: boolean, fake: string | undefined, writes = false) {
    this.dice = dice;
    this.plain = plain;
    this.#fake = fake;
    this.#writes = writes;
  }

  /** Small shapes, now and then with an empty axis. */
  shape(rank = this.dice.below(5)): number[] {
    return Array.from({ length: rank }, () => (this.dice.chance(0.08) ? 0 : 1 + this.dice.below(4)));
  }

  /** Finite values that every dtype can hold, or now and then awkward ones. */
  fill(shape: readonly number[], dtype: DType = 'f32', high = 4): gp.Tensor {
    const count = shape.reduce((n, m) => n * m, 1);
    const whole = !['f32', 'f64', 'f16', 'bf16'].includes(dtype);
    const odd = !whole && this.dice.chance(0.05);
    const values = Float64Array.from({ length: count }, () => {
      if (whole) return dtype === 'bool' ? this.dice.below(2) : this.dice.below(high);
      return odd ? this.dice.pick([NaN, Infinity, -Infinity, 0, -0, 1e30]) : this.dice.next() * 4 - 2;
    });
    return gp.tensor(values, { dtype }).reshape([...shape]);
  }

  /** The values of `t` in another memory layout. */
  layout(t: gp.Tensor): gp.Tensor {
    const last = t.ndim;
    let view = t;
    switch (this.dice.below(6)) {
      case 0:
        view = gp.stack([t, t], last).select(last, this.dice.below(2));
        break;
      case 1: {
        const order = t.shape.map((_, i) => last - 1 - i);
        view = last < 2 ? t : t.permute(order).clone().permute(order);
        break;
      }
      case 2:
        view = last === 0 ? t : gp.cat([t, t], 0).narrow(0, t.shape[0]!, t.shape[0]!);
        break;
      case 3:
        view = last === 0 || t.shape[0] === 0 ? t : t.narrow(0, 0, 1).expand([...t.shape]);
        break;
      default:
    }
    return this.plain && view !== t ? view.detach().clone() : view;
  }

  tensor(shape: readonly number[] = this.shape(), dtype: DType = this.dice.pick(DTYPES)): gp.Tensor {
    const t = this.layout(this.fill(shape, dtype));
    if (['f32', 'f64', 'f16', 'bf16'].includes(dtype) && this.dice.chance(0.3)) return t.detach().requiresGrad_();
    return t;
  }

  /** Tensors that few calls want: of another device, released, enormous by expansion, of many axes. */
  oddTensor(): gp.Tensor {
    switch (this.dice.below(6)) {
      case 0: {
        const t = this.fill([2, 3]);
        t.dispose();
        return t;
      }
      case 1:
        return this.#fake === undefined ? this.fill([0]) : this.fill(this.shape(2)).to(this.#fake);
      case 2:
        return this.fill([1]).expand([
          Math.min(this.dice.pick([2 ** 20, 2 ** 31, 2 ** 40, 2 ** 52]), this.#writes ? 2 ** 20 : Infinity),
        ]);
      case 3:
        return this.fill([1, 1, 1, 1, 1, 1, 1, 2]);
      case 4:
        return this.fill([0, 3]);
      default:
        return this.fill([2, 3]).requiresGrad_().mul(2);
    }
  }

  number(): number {
    return this.dice.pick(NUMBERS);
  }

  word(): string {
    return this.dice.pick(WORDS);
  }

  /** Values that no signature asks for. */
  hostile(): unknown {
    const throws = (): never => {
      throw new Mark('a getter of the user');
    };
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    const choices: (() => unknown)[] = [
      () => undefined,
      () => null,
      () => true,
      () => Symbol('s'),
      () => 10n,
      () => 2n ** 70n,
      () => ({}),
      () => [],
      () => [[]],
      () => cyclic,
      () => new Array<unknown>(3),
      () => ({ length: 3 }),
      () => ({ length: 2 ** 32, 0: 1 }),
      () => new Proxy({}, { get: throws, has: throws, ownKeys: throws, getPrototypeOf: throws }),
      () => new Proxy([1, 2], { get: throws }),
      () => new Proxy([2, 3], {}),
      () => Object.defineProperty({}, 'dim', { get: throws, enumerable: true }),
      (): unknown => {
        const bare: unknown = Object.setPrototypeOf({ x: 1 }, null);
        return bare;
      },
      () => new Date(NaN),
      () => new Map([['a', 1]]),
      () => new Set([1]),
      () => /x/,
      () => new Error('e'),
      () => Promise.resolve(1),
      () => throws,
      () => () => this.fill([2]),
      () => gp.nn.Linear,
      () => new Float32Array(3),
      () => new Float32Array(new SharedArrayBuffer(8)),
      () => new Uint8Array(0),
      () => new DataView(new ArrayBuffer(4)),
      () => new ArrayBuffer(4),
      () => BigInt64Array.of(1n, -5n),
      () => [1, [2, 3]],
      () => [NaN, 1],
      () => [-1],
      () => [2 ** 31, 2 ** 31],
      () => [2 ** 53],
      () => [0, 2 ** 53],
      () => new Array<number>(64).fill(1),
      () => [1, 2, 3, 4, 5, 6, 7, 8, 9],
      () => ['a'],
      () => [null],
      () => gp.nn,
      () => new gp.nn.Linear(2, 3),
      () => [this.tensor(), this.tensor()],
      () => [this.oddTensor()],
      () => ({ dim: 0, keepdim: 1 }),
      () => ({ dtype: 'f33' }),
      () => ({ device: 'cuda' }),
      () => ({ dtype: null, device: null, requiresGrad: 'yes' }),
      () => String.raw`\ud800`,
      () => '\u0000',
      () => globalThis,
    ];
    return this.dice.pick(choices)();
  }

  /** One axis, one size, one flag: what an argument most often is. */
  anything(): unknown {
    const { dice } = this;
    switch (dice.below(9)) {
      case 0:
      case 1:
        return this.tensor();
      case 2:
        return this.oddTensor();
      case 3:
        return this.number();
      case 4:
        return this.word();
      case 5:
        return this.shape();
      default:
        return this.hostile();
    }
  }

  /** `value` with something inside it changed: an element of a list, a field of an object, or all of it. */
  spoil(value: unknown): unknown {
    const { dice } = this;
    if (Array.isArray(value) && value.length > 0 && dice.chance(0.6)) {
      const copy = Array.from<unknown>(value);
      copy[dice.below(copy.length)] = dice.chance(0.5) ? this.number() : this.anything();
      return copy;
    }
    if (isPlain(value) && dice.chance(0.7)) {
      const keys = Object.keys(value);
      const key = keys.length > 0 && dice.chance(0.9) ? dice.pick(keys) : dice.pick(['dim', 'x', 'dtype', '']);
      return { ...value, [key]: dice.chance(0.5) ? this.number() : this.anything() };
    }
    if (typeof value === 'number' && dice.chance(0.6)) return this.number();
    if (gp.isTensor(value) && dice.chance(0.5)) return dice.chance(0.5) ? this.tensor() : this.oddTensor();
    return this.anything();
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
