import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadAddon } from '../../lib/native/load.js';

// A build under a sanitizer has one of them.
const { isaAvailable } = loadAddon().about();
const both = isaAvailable.includes('avx2') && isaAvailable.includes('avx512');

function bitsOn(isa: string, threads: number): unknown {
  const script = fileURLToPath(new URL('isa_bits.ts', import.meta.url));
  const env = { ...process.env, GRADPROOF_ISA: isa, GRADPROOF_THREADS: String(threads) };
  const child = spawnSync(process.execPath, ['--import', 'tsx', script], { env, encoding: 'utf8' });
  expect(child.stderr).toBe('');
  return JSON.parse(child.stdout);
}

describe.skipIf(!both)('results have the same bits', () => {
  it('under AVX2 and AVX-512, with one thread and with three, in f32 and f64', { timeout: 60_000 }, () => {
    expect(bitsOn('avx2', 3)).toEqual(bitsOn('avx512', 1));
  });
});
