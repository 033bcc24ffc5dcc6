/** Switching gradient recording on and off for a stretch of synchronous code. */
import { GradproofError } from '../errors.js';
import { needFunction } from '../ops/options.js';
import { state } from '../ops/gateway/state.js';

/** What `noGrad()` returns without a callback: `using _ = gp.noGrad()` restores the mode at the end of the block. */
export interface ModeGuard {
  [Symbol.dispose](): void;
}

/** A scope takes a synchronous callback: after an `await` the mode would be somebody else's. */
export type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

function isPromise(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** Runs `body` with `change` applied; a promise is ERR_ASYNC_SCOPE, because the scope would end before its work. */
export function scoped<T>(name: string, enter: () => () => void, body: () => T): T {
  const leave = enter();
  let result: T;
  try {
    result = body();
  } finally {
    leave();
  }
  if (isPromise(result)) {
    throw new GradproofError(
      'ERR_ASYNC_SCOPE',
      'the callback returned a promise; the scope ended before it did its work',
      {
        op: name,
        hint: 'Await first, then enter the scope with the values.',
      },
    );
  }
  return result;
}

/** Runs library code with gradient recording on or off. */
export function withGrad<T>(on: boolean, run: () => T): T {
  const leave = setGrad(on);
  try {
    return run();
  } finally {
    leave();
  }
}

function setGrad(on: boolean): () => void {
  const before = state.grad;
  state.grad = on;
  return () => {
    state.grad = before;
  };
}

function mode(name: string, on: boolean) {
  function enter<T>(body: () => Synchronous<T>): T;
  function enter(): ModeGuard;
  function enter(body?: () => unknown): unknown {
    if (body !== undefined) needFunction(name, 'the body', body);
    if (body !== undefined) return scoped(name, () => setGrad(on), body);
    const leave = setGrad(on);
    return { [Symbol.dispose]: leave };
  }
  return enter;
}

/** Records no gradients in `body` (or until the returned guard is disposed). Nests. */
export const noGrad = mode('noGrad', false);
/** Records gradients again inside noGrad. */
export const enableGrad = mode('enableGrad', true);

/** True where calls are recorded for backward; false inside noGrad. */
export function isGradEnabled(): boolean {
  return state.grad;
}
