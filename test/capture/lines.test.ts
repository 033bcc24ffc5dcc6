/** Lines of user code: the same from the first call on, whatever the process does to stack traces. */
import { afterEach, describe, expect, it } from 'vitest';
import { userLine } from '../../lib/capture/lines.js';

const limit = Error.stackTraceLimit;
const here = (line: number): RegExp => new RegExp(`/test/capture/lines\\.test\\.ts:${String(line)}:\\d+$`);

/** The line of this function's caller, from Vitest's own mapping. */
function callerLine(): number {
  const frame = (new Error().stack ?? '').split('\n')[2] ?? '';
  return Number(/:(\d+):\d+\)?$/.exec(frame)?.[1]);
}

afterEach(() => {
  Error.stackTraceLimit = limit;
});

describe('userLine', () => {
  it('names the caller, when it is new and when it is known', () => {
    const seen = new Set<string | undefined>();
    for (let i = 0; i < 3; i++) seen.add(userLine());
    const line = callerLine() - 1;
    expect([...seen]).toEqual([expect.stringMatching(here(line))]);
  });

  it('keeps two calls of one line apart', () => {
    const [a, b] = [userLine(), userLine()];
    expect(a).not.toBe(b);
    expect(a?.replace(/:\d+$/, '')).toBe(b?.replace(/:\d+$/, ''));
  });

  it('looks through functions without a file', () => {
    const [line] = [0].map(() => userLine());
    expect(line).toMatch(here(callerLine() - 1));
  });

  it('sees beyond a short stackTraceLimit, and leaves it as it was', () => {
    const deep = (n: number): string | undefined => (n === 0 ? userLine() : [n].map(() => deep(n - 1))[0]);
    const line = callerLine() - 1;
    Error.stackTraceLimit = 1;
    expect(deep(5)).toMatch(here(line));
    expect(Error.stackTraceLimit).toBe(1);
  });

  it("leaves a prepareStackTrace alone, and does not learn from one's own text", () => {
    const before = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
    const lines = [];
    for (const own of [true, false]) {
      if (own) Error.prepareStackTrace = (error) => `mine ${error.message}`;
      lines.push(userLine());
      if (own) expect(new Error('x').stack).toBe('mine x');
      if (before === undefined) Reflect.deleteProperty(Error, 'prepareStackTrace');
      else Object.defineProperty(Error, 'prepareStackTrace', before);
    }
    expect(lines).toEqual([undefined, expect.stringContaining('lines.test.ts')]);
    expect(Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace')).toEqual(before);
  });
});
