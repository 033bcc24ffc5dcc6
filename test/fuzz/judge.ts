/** What an answer may be, and what must hold after it. */
import * as gp from '../../lib/index.js';
import { state } from '../../lib/ops/gateway/state.js';
import { births } from '../../lib/tensor/storage.js';
import { Mark } from './values.js';

const SMALL = 1 << 20;

/** What is wrong with an exception, or undefined. */
export function faultOf(error: unknown): string | undefined {
  if (error instanceof Mark || isUsers(error)) return undefined;
  if (!gp.isError(error)) return `not a GradproofError: ${show(error)}`;
  if (error.code === 'ERR_INTERNAL') return `internal: ${error.message}`;
  if (!/^ERR_[A-Z_]+$/.test(error.code)) return `a code like none: ${error.code}`;
  if (error.message.length < 10 || /undefined is not|\[object /.test(error.message))
    return `says little: ${error.message}`;
  return undefined;
}

/** Whether a fault is more than a message that could be better: the process, its state or a number is wrong. */
export function isGrave(fault: string): boolean {
  return !/^(not a GradproofError|says little|a code like none)/.test(fault);
}

/** Raised inside of a callback of ours: the library must let it through. */
function isUsers(error: unknown): boolean {
  if (!(error instanceof Error) || gp.isError(error)) return false;
  const frame = (error.stack ?? '').split('\n').find((line) => line.trim().startsWith('at '));
  return frame?.includes('/test/fuzz/') === true;
}

export function show(error: unknown): string {
  if (!(error instanceof Error)) return `a thrown ${typeof error}`;
  const frame = (error.stack ?? '').split('\n').find((line) => /\/lib\//.test(line)) ?? '';
  return `${error.constructor.name}: ${error.message.slice(0, 200)} ${frame.trim().replace(/\(?file:.*\/lib\//, '(lib/')}`;
}

/** Tensors in an answer: itself, in lists and in plain objects. */
export function tensorsIn(answer: unknown, depth = 2): gp.Tensor[] {
  if (answer instanceof gp.Tensor) return [answer];
  if (typeof answer !== 'object' || answer === null || depth === 0) return [];
  if (Array.isArray(answer)) return answer.slice(0, 16).flatMap((value) => tensorsIn(value, depth - 1));
  if (Object.getPrototypeOf(answer) !== Object.prototype) return [];
  return Object.values(answer).flatMap((value) => tensorsIn(value, depth - 1));
}

export function isSmall(t: gp.Tensor): boolean {
  return t.numel <= SMALL && t.storage.handle !== 0;
}

/** Reads every tensor of the answer; its gradient too, where it has one. */
export function useAnswer(answer: unknown): void {
  for (const t of tensorsIn(answer)) {
    if (!isSmall(t)) continue;
    const { length } = t.data();
    if (length !== t.numel) throw new Error(`a tensor of shape [${t.shape.join(', ')}] has ${length} values`);
    t.toString();
    if (t.requiresGrad && t.node !== null && t.numel > 0) t.sum().backward();
  }
}

function showBits(t: gp.Tensor): string {
  const values = t.data();
  if (values instanceof BigInt64Array) return values.join();
  return Array.from(values, (value) => (Object.is(value, -0) ? '-0' : String(value))).join();
}

/** The bits of every tensor in an answer; NaN is NaN. */
export function bitsOf(answer: unknown): string {
  return tensorsIn(answer)
    .filter(isSmall)
    .map((t) => `${t.dtype}[${t.shape.join()}]${showBits(t)}`) // prettier-ignore
    .join(';');
}

/** A computation whose numbers are known, and everything that a failed call might have left switched. */
export function assertUsable(): void {
  if (!gp.isGradEnabled()) throw new Error('gradients are off');
  if (state.recorder !== null || state.interceptor !== null) throw new Error('somebody still records');
  if (state.device !== 'cpu') throw new Error('the device changed');
  if (births.log !== null) throw new Error('a scope is still open');
  if (gp.nn.runningModules().length > 0) throw new Error('a module is still running');
  const x = gp.tensor([[1, 2, 3], [4, 5, 6]], { requiresGrad: true }); // prettier-ignore
  const y = x.matmul(gp.tensor([[1], [0], [-1]])).square().sum(); // prettier-ignore
  y.backward();
  const wrong = y.item() !== 8 || String(x.grad?.data()) !== '-4,0,4,-4,0,4';
  if (wrong) throw new Error(`a known computation gave ${y.item()} and ${String(x.grad?.data())}`);
}
