/** One group of parameters: a learning rate on the device, hyper-parameters that stay. */
import { GradproofError, shown } from '../errors.js';
import { full } from '../ops/create.js';
import { state as mode } from '../ops/gateway/state.js';
import { writeHost } from '../tensor/host.js';
import type { Tensor } from '../tensor/tensor.js';

/** Hyper-parameters by name; what is changed during training (lr) is not among them. */
export type Hyper = Readonly<Record<string, number | boolean>>;

/** A group as a state dict keeps it. */
export interface GroupRecord {
  readonly lr: number;
  readonly initialLr: number;
  readonly hyper: Hyper;
  /** Names of the parameters. */
  readonly params: readonly string[];
}

/** Parameters with hyper-parameters of their own. `lr` may be set between steps, captured ones too. */
export class ParamGroup<H extends Hyper> {
  hyper: H;
  /** The learning rate that the group was made with: what schedules multiply. */
  initialLr: number;
  readonly params: readonly (readonly [string, Tensor])[];
  /** 0-d f64: what the update reads, so that captured steps see a change. */
  readonly lrTensor: Tensor;
  #lr: number;

  constructor(lr: number, hyper: H, device: string, params: readonly (readonly [string, Tensor])[]) {
    this.#lr = checkNumber('lr', lr, 0);
    this.initialLr = lr;
    this.hyper = hyper;
    this.params = params;
    this.lrTensor = full([], lr, { dtype: 'f64', device });
  }

  get lr(): number {
    return this.#lr;
  }

  set lr(value: number) {
    checkNumber('lr', value, 0);
    if (value === this.#lr) return;
    writeHost(this.lrTensor, Float64Array.of(value));
    this.#lr = value;
    mode.recorder?.hostWrite?.(this.lrTensor, 'lr');
  }

  record(): GroupRecord {
    return {
      lr: this.#lr,
      initialLr: this.initialLr,
      hyper: { ...this.hyper },
      params: this.params.map(([name]) => name),
    };
  }
}

/** A finite number in [low, high] (or [low, high) where `open`), or ERR_VALUE. */
export function checkNumber(name: string, value: number, low = -Infinity, high = Infinity, open = false): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= low && (open ? value < high : value <= high))
    return value;
  const range =
    high === Infinity
      ? low === -Infinity
        ? 'finite'
        : `finite and >= ${String(low)}`
      : `in [${String(low)}, ${String(high)}${open ? ')' : ']'}`;
  throw new GradproofError('ERR_VALUE', `${name} must be ${range}, got ${shown(value)}`, { op: 'optimizer' });
}
