/** What is on in this thread: gradient mode, who records, the default device. Read on every op call: plain variables. */
import type { Attributes, Inputs, OpRecord } from './op.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Somebody who watches the gateway: capture, audit, trace. All notes come after the fact. */
export interface Recorder {
  /** A kernel ran: `outputs` are fresh tensors, or the written ones of an op that mutates. */
  launched?(launch: Launch): void;
  /** A view was taken: no kernel, same storage. */
  viewed?(op: OpRecord, input: Tensor, output: Tensor): void;
  /** An op call, whether it ran a kernel or its reference. */
  called?(op: OpRecord, inputs: Inputs, attrs: Attributes, outputs: Inputs): void;
  /** A leaf's `.grad` was cleared, assigned fresh, or accumulated into. */
  gradient?(leaf: Tensor, how: 'cleared' | 'fresh' | 'accumulated', value: Tensor | null): void;
  /** Whether nothing noted so far refers to a gradient that is being replaced: then its memory goes back at once. */
  spares?(old: Tensor): boolean;
  /** A module's forward runs: its train flag and tensors belong to the guards. */
  entered?(module: object): void;
  /** A module's forward returned `output`, hooks included; it is still on the stack of running modules. */
  left?(module: object, output: unknown): void;
  /** The host asked for values (`item`, `data`): a cut if the tensor has history, an error while capturing. */
  hostRead?(tensor: Tensor, how: string): void;
  /** The host wrote values into a tensor (`tensor(data)`, `assign`). */
  hostWrite?(tensor: Tensor, how: string): void;
  /** `detach()`: the same memory without history. */
  detached?(input: Tensor, output: Tensor): void;
  /** `grad(outputs, inputs)` asks for the gradients of these. */
  differentiated?(inputs: readonly Tensor[]): void;
}

/** Runs one op as the gateway does. */
export type Perform = (op: OpRecord, inputs: Inputs, attrs: Attributes, device: string | undefined) => Inputs;

/** Stands between callers and the gateway: it may change what goes in and what comes out (audit, mutation). */
export type Interceptor = (
  op: OpRecord,
  inputs: Inputs,
  attrs: Attributes,
  device: string | undefined,
  perform: Perform,
) => Inputs;

/** How an interceptor lets a call pass: to the one that stood there before it, or to the gateway itself. */
export function passTo(outer: Interceptor | null): Interceptor {
  return outer ?? ((op, inputs, attrs, device, perform) => perform(op, inputs, attrs, device));
}

/** One kernel call as the gateway made it. */
export interface Launch {
  readonly op: OpRecord;
  readonly rowId: number;
  /** As given to the kernel: broadcast views, contiguous copies made. */
  readonly inputs: Inputs;
  readonly attrs: Attributes;
  readonly outputs: Inputs;
  readonly mutates: boolean;
}

/** The dtypes that products can be lowered to. */
export type LowPrecision = 'bf16' | 'f16';

interface State {
  grad: boolean;
  recorder: Recorder | null;
  interceptor: Interceptor | null;
  /** The dtype that products are computed in (autograd/autocast.ts), or null: the dtype of their operands. */
  autocast: LowPrecision | null;
  device: string;
}

export const state: State = { grad: true, recorder: null, interceptor: null, autocast: null, device: 'cpu' };
