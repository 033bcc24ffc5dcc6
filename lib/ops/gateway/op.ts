/**
 * An op as the gateway, the tape and the loops over the registry see it: a declaration without its types (define.ts),
 * completed by the registry.
 */
/* eslint-disable @typescript-eslint/no-explicit-any -- variance: an attribute specification is read here, never written */
import type { KernelRow } from '../../native/addon.js';
import type { DType } from '../../tensor/dtype.js';
import type { Shape } from '../../tensor/shape.js';
import type { Meta, Tensor } from '../../tensor/tensor.js';
import type { AttrSpec } from './attrs.js';
import type { Sampler } from './samples.js';

/** A literal is its own default: `{ eps: 1e-5, keepdim: false, dims: [] }`. */
export type AttrDecl = number | boolean | AttrSpec<any, any>;
export type AttrDecls = Readonly<Record<string, AttrDecl>>;

/** A gradient, none, or a thunk that is only called when somebody wants it. */
export type Gradient = Tensor | null | (() => Tensor | null);

export interface View {
  readonly shape: Shape;
  readonly stride: readonly number[];
  readonly offset: number;
}

export interface RawDef
  extends
    Pick<OpRecord, 'name' | 'doc' | 'dtypes' | 'gradient' | 'samples'>,
    Partial<Pick<OpRecord, 'canonical' | 'infer' | 'reference' | 'view' | 'pointwise'>> {
  readonly inputs: readonly string[];
  readonly attrs: AttrDecls;
  readonly positional?: readonly string[];
  readonly outputs: readonly string[];
  readonly aux?: readonly string[];
  readonly keyed?: string;
  readonly receiver?: string | false;
  readonly nondiff?: readonly string[];
  readonly mutates?: readonly string[];
  readonly promotes?: readonly string[];
  readonly booleans?: false;
}

export type Slot = Tensor | readonly Tensor[] | undefined;
export type Inputs = readonly Slot[];
export type Attributes = Readonly<Record<string, unknown>>;
export type MetaSlot = Meta | readonly Meta[] | undefined;

export interface OpRecord {
  readonly name: string;
  readonly camel: string;
  readonly doc: string;
  readonly signature: string;
  readonly inputs: readonly { readonly name: string; readonly kind: 'one' | 'optional' | 'list' }[];
  /** Position of the input whose dtype chooses the kernel, or -1: the first output's. */
  readonly key: number;
  /** Position of the hidden input 'rng', or -1. */
  readonly rng: number;
  /** Position of an input 'condition', which takes no part in promotion, or -1. */
  readonly condition: number;
  readonly attrs: readonly { readonly name: string; readonly spec: AttrSpec<any, any> }[];
  readonly defaults: Attributes;
  readonly positional: readonly string[];
  /** Auxiliary ones last. */
  readonly outputs: readonly {
    readonly name: string;
    readonly list: boolean;
    readonly aux: boolean;
    readonly differentiable: boolean;
  }[];
  readonly visible: number;
  /** Only plain tensor inputs and no required attribute: a call with just tensors needs no parsing. */
  readonly simple: boolean;
  readonly dtypes: readonly DType[];
  readonly pointwise: 'same' | 'bool' | 'float' | 'convert' | undefined;
  readonly receiver: number;
  readonly mutates: readonly number[];
  readonly promotes: readonly number[];
  readonly booleans: boolean;
  readonly canonical: ((attrs: any, inputs: any) => Attributes) | undefined;
  readonly infer: ((inputs: any, attrs: any) => Readonly<Record<string, Meta | readonly Meta[]>>) | undefined;
  readonly reference:
    ((inputs: any, attrs: any, metas: any) => Readonly<Record<string, Tensor | readonly Tensor[]>>) | undefined;
  readonly view: ((x: Tensor, attrs: any) => View | readonly View[]) | undefined;
  readonly gradient:
    | {
        readonly kind: 'rule';
        readonly needs: readonly string[];
        readonly second?: 'rule' | 'reference';
        readonly backward: (
          dy: any,
          saved: any,
          attrs: any,
          meta: any,
          wants: ReadonlySet<string>,
        ) => Readonly<Record<string, Gradient | readonly Gradient[]>>;
      }
    | { readonly kind: 'reference' }
    | { readonly kind: 'none'; readonly because: string };
  /** Whether `gradient` says that there is one: what every call asks. */
  readonly differentiable: boolean;
  /** Where the needs stand (all inputs where the reference is differentiated): ≥ 0 an input, < 0 output -1 - i. */
  readonly saves: readonly number[];
  /** Their names. */
  readonly saved: readonly string[];
  readonly samples: (
    s: Sampler,
  ) => Iterable<{ readonly in: Readonly<Record<string, Slot>>; readonly attrs?: Attributes }>;
  /** Kernel rows by device id and dtype number, found on first use: null is "looked for, not there". */
  readonly rows: (KernelRow | null | undefined)[][];
}
