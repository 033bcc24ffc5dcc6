/** Dense layers with 8-bit weights, and how a model gets them. */
import { GradproofError } from '../errors.js';
import { full, ones } from '../ops/create.js';
import { checkOptions, needFlags, needFunction } from '../ops/options.js';
import { dequantizeWeight, quantizedLinear, quantizeWeight } from '../ops/quantized_linear.js';
import { bindingChanged } from '../tensor/binding.js';
import type { Tensor } from '../tensor/tensor.js';
import { MultiheadAttention } from './attention.js';
import { ModuleDict, ModuleList, Sequential } from './containers.js';
import { Linear, type LinearOptions } from './linear.js';
import { isContainer, Module, needModule } from './module.js';
import { blank, checkSizes } from './options.js';
import type { Parameter } from './parameter.js';

/**
 * {@link Linear} with a weight of 8 bits: y = scale · (x · (weight − 128)ᵀ) + bias, [..., inFeatures] → [..., outFeatures]. x has
 * any float dtype; the weight is read as it stands, so a product with few rows takes a quarter of the memory traffic of f32.
 * The weight is frozen: gradients reach x and the bias. Made by {@link quantize_} or `fromLinear`; a new one holds zeros and
 * is there to load a state dict into.
 */
export class QuantizedLinear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** u8 [outFeatures, inFeatures]; a byte stands for itself less 128 (there is no dtype i8). A buffer. */
  declare weight: Tensor;
  /** f32 [outFeatures] (f64 from an f64 layer). A buffer. */
  declare scale: Tensor;
  /** [outFeatures] */
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    checkOptions('QuantizedLinear', options, ['bias', 'dtype', 'device']);
    needFlags('QuantizedLinear', { bias: options.bias });
    checkSizes('QuantizedLinear', { inFeatures, outFeatures });
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const { device, dtype } = options;
    this.registerBuffer('weight', full([outFeatures, inFeatures], 128, { dtype: 'u8', device }));
    this.registerBuffer('scale', ones([outFeatures], { dtype: dtype === 'f64' ? 'f64' : 'f32', device }));
    this.bias = options.bias === false ? null : blank([outFeatures], options);
  }

  /** The 8-bit form of a layer; the bias is the layer's own Parameter. ERR_NON_FINITE for weights that are not finite. */
  static fromLinear(linear: Linear): QuantizedLinear {
    if (!(linear instanceof Linear)) {
      needModule('QuantizedLinear', linear);
      throw new GradproofError('ERR_MODULE', 'a Linear is needed', { op: 'QuantizedLinear' });
    }
    const { weight, scale } = quantizeWeight(linear.weight);
    const { dtype, device } = linear.weight;
    const made = new QuantizedLinear(linear.inFeatures, linear.outFeatures, { bias: false, dtype, device });
    made.weight = weight;
    made.scale = scale;
    made.bias = linear.bias;
    made.training = linear.training;
    return made;
  }

  /** The weight in floating point: scale · (weight − 128). */
  dequantize(): Tensor {
    return dequantizeWeight(this);
  }

  override forward(x: Tensor): Tensor {
    return quantizedLinear(x, this.weight, this.scale, { bias: this.bias ?? undefined });
  }
}

/** What a layer may be after {@link quantize_}. */
export type LinearLayer = Linear | QuantizedLinear;

// Guards, because instanceof would leave the modules inside untyped.
function isList(module: Module): module is Sequential | ModuleList {
  return module instanceof Sequential || module instanceof ModuleList;
}
function isDict(module: Module): module is ModuleDict {
  return module instanceof ModuleDict;
}

/** Puts modules in the places of others among the own properties of `parent`, arrays and plain objects included. */
function replaceChildren(parent: Module, next: (child: Module) => QuantizedLinear | undefined): void {
  if (isList(parent)) {
    [...parent].forEach((child: Module, i) => {
      const module = next(child);
      if (module !== undefined) parent.set(i, module);
    });
  } else if (isDict(parent)) {
    for (const [name, child] of [...parent]) {
      const module = next(child);
      if (module !== undefined) parent.set(name, module);
    }
  }
  const seen = new Set<object>();
  const visit = (holder: object): void => {
    if (seen.has(holder)) return;
    seen.add(holder);
    for (const key of Object.keys(holder)) {
      const value: unknown = Reflect.get(holder, key);
      const module = value instanceof Module ? next(value) : undefined;
      if (module !== undefined) Reflect.set(holder, key, module);
      else if (isContainer(value)) visit(value);
    }
  };
  visit(parent);
}

export interface QuantizeOptions {
  /** Which layers; default all. Called once per `Linear`, with its name in the model. */
  readonly filter?: ((layer: Linear, name: string) => boolean) | undefined;
}

/**
 * Replaces the `Linear` layers of a model by {@link QuantizedLinear}, in place, and returns their names. As torchao's
 * `quantize_(model, Int8WeightOnlyConfig())`: weights in 8 bits, symmetric per output row, everything else untouched; an
 * embedding that shares its weight with a replaced layer keeps it, and the tie ends. Not replaced: subclasses of Linear, and the
 * projections of `MultiheadAttention`, which reads their weights itself. Compile steps and make optimizers afterwards.
 *
 * ERR_MODULE where no layer is found, where the model is itself a Linear (use `QuantizedLinear.fromLinear`), and for layers
 * with hooks; ERR_NON_FINITE for weights that are not finite. After an error the model is as it was.
 */
export function quantize_(model: Module, options: QuantizeOptions = {}): string[] {
  const op = 'quantize_';
  needModule(op, model);
  checkOptions(op, options, ['filter']);
  const { filter = () => true } = options;
  needFunction(op, 'filter', filter);
  const isPlain = (module: Module): module is Linear => module.constructor === Linear;
  if (isPlain(model))
    throw new GradproofError('ERR_MODULE', 'the model is itself a Linear, which cannot be replaced in place', {
      op,
      hint: 'Use nn.QuantizedLinear.fromLinear(layer).',
    });
  const modules = model.namedModules();
  const kept = new Set(
    modules.flatMap(([, parent]) => (parent instanceof MultiheadAttention ? parent.children() : [])),
  );
  const found = modules.flatMap(([name, layer]): [Linear, string][] =>
    isPlain(layer) && !kept.has(layer) ? [[layer, name]] : [],
  );
  const made = new Map<Module, QuantizedLinear>();
  const names: string[] = [];
  for (const [layer, name] of found) {
    const wanted: unknown = filter(layer, name);
    if (typeof wanted !== 'boolean')
      throw new GradproofError('ERR_ARGUMENT', 'the filter must return true or false', { op });
    if (!wanted) continue;
    if (layer.hooked)
      throw new GradproofError('ERR_MODULE', `'${name}' has hooks, which would be lost`, {
        op,
        hint: 'Remove them first, or leave the layer out with { filter }.',
      });
    made.set(layer, QuantizedLinear.fromLinear(layer));
    names.push(name);
  }
  if (names.length === 0)
    throw new GradproofError('ERR_MODULE', `there is no layer to replace among ${String(found.length)} Linear layers`, {
      op,
    });
  for (const [, parent] of modules) replaceChildren(parent, (child) => made.get(child));
  bindingChanged();
  return names;
}
