/** Threads of the CPU backend. */
import { GradproofError, shown } from '../errors.js';
import { addon } from './runtime.js';

/** Threads that work on one kernel, the caller included. Default: physical cores this process may use. */
export function setNumThreads(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > 1024) {
    throw new GradproofError(
      'ERR_VALUE',
      `the number of threads must be an integer from 1 to 1024, got ${shown(count)}`,
      { op: 'setNumThreads' },
    );
  }
  addon().setThreads(count);
}

/** Threads that work on one kernel, the caller included. */
export function getNumThreads(): number {
  return addon().threads();
}
