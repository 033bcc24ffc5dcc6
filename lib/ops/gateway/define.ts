/**
 * What an op is: one declaration from which everything else follows (the gateway, the tape, the backward engine, the
 * generated face, the handshake with backends, the tests, the docs).
 *
 * The types do the bookkeeping: a rule that forgets an input, uses what `needs` does not name, or an inference that
 * forgets an output, does not compile. See lib/ops/README.md for the fields in prose.
 */
/* eslint-disable @typescript-eslint/no-explicit-any -- variance: an attribute specification is read here, never written */
import { GradproofError, shown } from '../../errors.js';
import type { DType } from '../../tensor/dtype.js';
import type { Meta, Tensor } from '../../tensor/tensor.js';
import type { AttrSpec } from './attrs.js';
import type { AttrDecls, Gradient, OpRecord, View } from './op.js';
import { checkDeclaration, register } from './registry.js';
import type { Sampler } from './samples.js';

export type { Meta };

/** `like(x, { dtype: 'bool' })`: another meta's shape and dtype with changes. */
export function like(meta: Meta, change: Partial<Meta> = {}): Meta {
  const given: unknown = meta;
  if (typeof given !== 'object' || given === null || !('shape' in given) || !('dtype' in given))
    throw new GradproofError('ERR_ARGUMENT', `a tensor or { shape, dtype } is needed, got ${shown(given)}`, {
      op: 'like',
    });
  return { shape: change.shape ?? meta.shape, dtype: change.dtype ?? meta.dtype };
}

// ---- names of inputs: 'x' required, 'x?' optional (goes to the options), 'xs[]' a list -------------------------------

export type NameOf<S> = S extends `${infer N}?` ? N : S extends `${infer N}[]` ? N : S;
type ValueOf<S, V> = S extends `${string}[]` ? readonly V[] : V;
type Names = readonly string[];

/** Values by input name, optional ones possibly undefined. */
export type ByName<I extends Names, V> = {
  readonly [K in I[number] as K extends `${string}?` ? never : NameOf<K> & string]: ValueOf<K, V>;
} & { readonly [K in I[number] as K extends `${string}?` ? NameOf<K> & string : never]?: V | undefined };

type Rest<I extends Names> = I extends readonly [infer H, ...infer R extends Names]
  ? H extends `${string}?` | 'rng'
    ? Rest<R>
    : [H extends `${string}[]` ? readonly Tensor[] : Tensor | number, ...Rest<R>]
  : [];

// ---- attributes -----------------------------------------------------------------------------------------------------

type OutOf<D> = D extends AttrSpec<any, infer V> ? V : D extends number ? number : boolean;
type InOf<D> = D extends AttrSpec<infer V, any> ? V : D extends number ? number : boolean;
export type AttrsOf<A extends AttrDecls> = { readonly [K in keyof A]: OutOf<A[K]> };
type AttrsIn<A extends AttrDecls> = { readonly [K in keyof A]?: InOf<A[K]> | undefined };

// ---- gradients ------------------------------------------------------------------------------------------------------

type GradientFor<S> = S extends `${string}[]` ? readonly Gradient[] | null : Gradient;
type Gradients<I extends Names> = { readonly [K in I[number] as Exclude<NameOf<K>, 'rng'> & string]: GradientFor<K> };
type Saved<I extends Names, O extends Names, N extends string> = {
  readonly [
    K in [...I, ...O][number] as NameOf<K> extends N ? (K extends `${string}?` ? never : NameOf<K> & string) : never
  ]: ValueOf<K, Tensor>;
} & {
  readonly [K in I[number] as NameOf<K> extends N ? (K extends `${string}?` ? NameOf<K> & string : never) : never]?:
    Tensor | undefined;
};
type Metas<I extends Names, O extends Names> = ByName<I, Meta> & {
  readonly [K in O[number] as NameOf<K> & string]: ValueOf<K, Meta>;
};

export type GradientRule<I extends Names, A extends AttrDecls, O extends Names, X extends Names, N extends string> =
  | {
      readonly kind: 'rule';
      /** Inputs and outputs that backward reads; nothing else is kept alive. */
      readonly needs: readonly N[];
      /**
       * How the rule itself is differentiated (createGraph): 'reference' (the default where there is one) differentiates
       * the op's reference instead; 'rule' states that the rule is written in differentiable ops.
       */
      readonly second?: 'rule' | 'reference';
      /** Gradients of the outputs → gradients of the inputs; `meta` has every shape and dtype, `wants` the names asked for. */
      backward(
        dy: { readonly [K in O[number] as NameOf<K> & string]: ValueOf<K, Tensor> },
        saved: Saved<I, [...O, ...X], N>,
        attrs: AttrsOf<A>,
        meta: Metas<I, [...O, ...X]>,
        wants: ReadonlySet<string>,
      ): Gradients<I>;
    }
  | { readonly kind: 'reference' }
  | { readonly kind: 'none'; readonly because: string };

export interface Sample<I extends Names, A extends AttrDecls> {
  readonly in: ByName<[...{ [K in keyof I]: I[K] extends 'rng' ? 'rng?' : I[K] }], Tensor>;
  readonly attrs?: AttrsIn<A>;
}

export interface OpDef<
  I extends Names,
  A extends AttrDecls,
  P extends readonly (keyof A & string)[],
  O extends Names,
  X extends Names,
  N extends string,
> {
  /** snake_case; the function and method are its camelCase. */
  readonly name: string;
  /** One or more sentences with the formula; becomes the JSDoc and the documentation page. */
  readonly doc: string;
  /** In positional order: 'x', 'weight?' (an option), 'xs[]' (a list). An input 'rng' is filled by the gateway. */
  readonly inputs: I;
  readonly attrs: A;
  /** Attributes that may also be given by position, after the inputs. */
  readonly positional?: P;
  readonly outputs: O;
  /** Outputs kept for backward only; they carry no gradient and never reach a user. */
  readonly aux?: X;
  /** Dtypes of the first input; f64 is implied for floating ops. */
  readonly dtypes: readonly DType[];
  /** The input whose dtype chooses the kernel; default the first one (not `rng`, not `condition`), else the first output. */
  readonly keyed?: NameOf<I[number]>;
  /**
   * Elementwise: inputs broadcast and promote; the result has the common shape and this dtype rule: 'same' as the
   * operands, 'float' (integers become f32), 'bool'; 'convert' broadcasts but leaves dtypes to the kernel.
   */
  readonly pointwise?: 'same' | 'bool' | 'float' | 'convert';
  /** Inputs (lists element by element) that are cast to their common dtype; elementwise ops do it for all by themselves. */
  readonly promotes?: readonly NameOf<I[number]>[];
  /** False: a boolean operand is refused even where promotion would convert it. */
  readonly booleans?: false;
  /** Which input is `this` of the method; default the first; false for no method. */
  readonly receiver?: NameOf<I[number]> | false;
  canonical?(attrs: AttrsOf<A>, inputs: ByName<I, Meta>): AttrsOf<A>;
  infer?(
    inputs: ByName<I, Meta>,
    attrs: AttrsOf<A>,
  ): { readonly [K in [...O, ...X][number] as NameOf<K> & string]: ValueOf<K, Meta> };
  /** The same op written with simpler ops: specification, fallback and second derivative at once. */
  reference?(
    inputs: ByName<I, Tensor>,
    attrs: AttrsOf<A>,
    metas: ByName<I, Meta>,
  ): {
    readonly [K in [...O, ...X][number] as NameOf<K> & string]: ValueOf<K, Tensor>;
  };
  readonly gradient: GradientRule<I, A, O, X, N>;
  /** Outputs without gradient, such as indices. */
  readonly nondiff?: readonly NameOf<O[number]>[];
  /** Inputs that the op writes. Such an op has no outputs: it returns the first of them. */
  readonly mutates?: readonly NameOf<I[number]>[];
  /** The outputs are views of the first input: strides instead of a kernel. One per output (per element of a list). */
  view?(x: Tensor, attrs: AttrsOf<A>): View | readonly View[];
  samples(s: Sampler): Iterable<Sample<I, A>>;
}

export type Result<O extends Names> = O extends readonly []
  ? Tensor
  : O extends readonly [infer S]
    ? S extends `${string}[]`
      ? Tensor[]
      : Tensor
    : { [K in O[number] as NameOf<K> & string]: K extends `${string}[]` ? Tensor[] : Tensor };

export interface Op<
  I extends Names,
  A extends AttrDecls,
  P extends readonly (keyof A & string)[],
  O extends Names,
  X extends Names,
> {
  (...args: [...Rest<I>, ...{ [K in keyof P]?: InOf<A[P[K]]> | undefined }, options?: OptionsOf<I, A>]): Result<O>;
  (...args: [...Rest<I>, options?: OptionsOf<I, A>]): Result<O>;
  /** Call by name; auxiliary outputs included in the answer. The form that gradient rules use. */
  named(
    inputs: ByName<I, Tensor>,
    attrs?: AttrsIn<A>,
  ): { readonly [K in [...O, ...X][number] as NameOf<K> & string]: ValueOf<K, Tensor> };
  readonly record: OpRecord;
}

type OptionsOf<I extends Names, A extends AttrDecls> = AttrsIn<A> & Partial<ByName<I, Tensor>> & CallOptions;

/** Options of every op without tensor inputs. */
export interface CallOptions {
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

/** `gp.defineOp` for the library's own ops: a wrong declaration is refused when it is first used, and by test/ops. */
export function defineOp<
  const I extends Names,
  const A extends AttrDecls,
  const O extends Names,
  const P extends readonly (keyof A & string)[] = [],
  const X extends Names = [],
  const N extends string = never,
>(def: OpDef<I, A, P, O, X, N>): Op<I, A, P, O, X> {
  return register(def) as Op<I, A, P, O, X>;
}

/** Declares an op: a typed function, a method of Tensor, and one more round of every loop over the registry. */
export const defineOwnOp: typeof defineOp = (def) => {
  checkDeclaration(def);
  return defineOp(def);
};
