/** Angles of rotary positions as a config.json states them: plain, linearly scaled, or by Llama 3's bands. */
import { mul } from '../ops/index.js';
import { tensor } from '../ops/methods.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Fields } from './model_config.js';

const KINDS = { default: 1, linear: 1, llama3: 1 };
const THETA = 10000;

const f32 = Math.fround;

/**
 * Radians per position of every pair of features, [dim / 2]. In f32, as transformers computes them and models were trained:
 * far from the start the angles of exact frequencies are other ones.
 */
export function rotaryFrequencies(fields: Fields, dim: number): Float32Array {
  // transformers 5 writes rope_parameters; before, rope_theta stood beside rope_scaling.
  const nested = fields.object('rope_scaling') ?? fields.object('rope_parameters');
  const theta =
    nested?.value('rope_theta') === undefined ? fields.number('rope_theta', THETA) : nested.number('rope_theta');
  const plain = Float32Array.from({ length: dim / 2 }, (_, j) => f32(1 / f32(theta ** f32((2 * j) / dim))));
  fields.only({ partial_rotary_factor: 1 });
  if (nested === undefined) return plain;
  nested.only({ partial_rotary_factor: 1 });
  const kind = nested.oneOf(nested.value('rope_type') === undefined ? 'type' : 'rope_type', KINDS, 'default');
  if (kind === 'default') return plain;
  const factor = nested.number('factor');
  if (kind === 'linear') return plain.map((frequency) => frequency / factor);
  const context =
    fields.value('original_max_position_embeddings') === undefined
      ? nested.number('original_max_position_embeddings', fields.integer('max_position_embeddings'))
      : fields.number('original_max_position_embeddings');
  return plain.map(bands(factor, nested.number('low_freq_factor'), nested.number('high_freq_factor'), context));
}

/** Llama 3.1's scaling: wavelengths that fit often into the old context stay, those that hardly do are stretched. */
function bands(factor: number, low: number, high: number, context: number): (frequency: number) => number {
  return (frequency) => {
    const wavelength = f32(f32(2 * Math.PI) / frequency);
    if (wavelength < context / high) return frequency;
    if (wavelength > context / low) return frequency / factor;
    const share = (f32(context / wavelength) - low) / (high - low);
    return ((1 - share) * frequency) / factor + share * frequency;
  };
}

/** The tables of `rope` for tokens at `positions` [T]: cos and sin [T, dim / 2]. */
export interface Turn {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/** Turns positions into tables on their device; holds the frequencies in f32 whatever dtype the model is cast to. */
export class Rotary {
  readonly #frequencies: Tensor;

  constructor(frequencies: Float32Array) {
    this.#frequencies = tensor(frequencies, { dtype: 'f32', device: 'cpu' });
  }

  at(positions: Tensor, dtype: DType): Turn {
    const angles = mul(positions.to('f32').unsqueeze(1), this.#frequencies.to(positions.device));
    return { cos: angles.cos().to(dtype), sin: angles.sin().to(dtype) };
  }
}
