/** What a trace consists of. */
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

/**
 * `forward`: a module's output. `loss_gradient`: ∂loss/∂(output of the outermost module). `activation_gradient`:
 * ∂loss/∂(output of a module inside), before that module's own backward. `gradient_raw`: a parameter's gradient as backward left
 * it; `gradient_used`: as the optimizer read it, scaled and clipped. `frozen`: there is no gradient, and none was wanted.
 */
export type Phase =
  | 'parameter_before'
  | 'forward'
  | 'loss_gradient'
  | 'activation_gradient'
  | 'gradient_raw'
  | 'gradient_used'
  | 'parameter_after'
  | 'frozen';

export const GRADIENT_PHASES: ReadonlySet<string> = new Set<Phase>([
  'loss_gradient',
  'activation_gradient',
  'gradient_raw',
  'gradient_used',
]);

export interface TraceEvent {
  /** Position in the order of execution. */
  readonly order: number;
  readonly phase: Phase;
  /** Of a module or a parameter, as in the state dict; '' is the outermost module. */
  readonly path: string;
  /** How many events of this phase and path came before: a second micro-batch, a layer used twice. */
  readonly call: number;
  /** A copy of the values; null for `frozen`. */
  readonly tensor: Tensor | null;
}

/** The same, read back or not yet written: enough to pair and to compare. */
export interface TraceEntry {
  readonly order: number;
  readonly phase: string;
  readonly path: string;
  readonly call: number;
  readonly shape: readonly number[];
  readonly dtype: DType | null;
  /** The values as f64, row-major; null for `frozen`. */
  values(): Float64Array | null;
}

export interface Trace {
  /** Gradients times this are those of the summed loss: the batch size where the loss is a mean over it. */
  readonly scale: number;
  readonly entries: readonly TraceEntry[];
}

/** Names an event across traces. */
export function keyOf({ phase, path, call }: Pick<TraceEntry, 'phase' | 'path' | 'call'>): string {
  return `${phase} ${path}${call === 0 ? '' : ` #${String(call)}`}`;
}
