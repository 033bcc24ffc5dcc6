import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Stat } from '../../lib/native/addon.js';
import { loadAttempts } from '../../lib/native/load.js';
import { addon, block, child, cpu, floats, matmul, program, run, stats, storage } from './harness.js';

const path = loadAttempts().at(-1)?.path ?? '';

/** Runs a script in a worker with an addon of its own; resolves to what it posts. */
function worker(script: string, data: unknown): { readonly worker: Worker; readonly message: Promise<unknown> } {
  const head =
    "const { parentPort, workerData } = require('node:worker_threads');" +
    `const addon = require(${JSON.stringify(path)});` +
    'const block = new Float64Array(65536), stats = new Float64Array(16); addon.bind(block, stats);' +
    "const cpu = addon.openDevice('cpu', 0);";
  const made = new Worker(head + script, { eval: true, workerData: data });
  const message = new Promise<unknown>((resolve, reject) => {
    made.once('message', resolve);
    made.once('error', reject);
  });
  return { worker: made, message };
}

/** Scripts for processes of their own: a long program (n = 512, 60 products: 16 GFLOP) and its storages. */
const longProgram = () => {
  const n = 512;
  const bytes = n * n * 4;
  const blob = program(
    cpu,
    0,
    [
      { kind: 'external', at: 0, bytes },
      { kind: 'output', at: 0, bytes },
    ],
    Array.from({ length: 60 }, () => matmul(cpu, 0, 0, 1, n)),
  );
  return (
    `const cpu = addon.openDevice('cpu', 0); const x = addon.allocate(cpu, ${bytes}, undefined, true);` +
    `const id = addon.createProgram(Float64Array.from(${JSON.stringify(Array.from(blob))}));`
  );
};

describe('worker threads', () => {
  it('have handles of their own and compute beside the main thread', async () => {
    const words = matmul(cpu, 1, 1, 0, 32);
    const script =
      'const x = addon.allocate(cpu, 4096, undefined, false);' +
      'addon.write(x, 0, new Float32Array(1024).fill(workerData.value));' +
      'const y = new Float32Array(1024); let ok = true;' +
      'const words = workerData.words.slice(); words[6] = words[15] = x;' +
      'for (let i = 0; i < 3000; i++) {' +
      '  block.set(words); if (addon.run() !== 0) { ok = addon.lastError(); break; }' +
      '  addon.read(block[0], 0, y); addon.release(block[0]);' +
      '  if (y[0] !== 32 * workerData.value ** 2 || y[1023] !== y[0]) { ok = "wrong: " + y[0]; break; }' +
      '}' +
      'addon.release(x); parentPort.postMessage({ ok, live: stats[0] });';
    expect([words[6], words[15]]).toEqual([1, 1]); // the places of the two handles
    const workers = [2, 3].map((value) => worker(script, { value, words }));
    const own = storage(
      cpu,
      Array.from({ length: 1024 }, () => 1),
    );
    for (let i = 0; i < 1000; i++) {
      expect(run(matmul(cpu, own, own, 0, 32))).toBe(0);
      if (floats(block[0]!, 1)[0] !== 32) expect.fail('the main thread computed wrongly');
      addon.release(block[0]!);
    }
    addon.release(own);
    for (const one of workers) {
      expect(await one.message).toEqual({ ok: true, live: 0 });
      await one.worker.terminate();
    }
  });

  it('a worker that ends gives everything back', async () => {
    const live = stats[Stat.LiveBytes]!;
    const script =
      'const keep = []; for (let i = 0; i < 100; i++) { const o = { i }; keep.push(o); addon.allocate(cpu, 1 << 20, o, false); }' +
      'parentPort.postMessage(stats[0]);';
    for (let i = 0; i < 3; i++) {
      const one = worker(script, undefined);
      expect(await one.message).toBe(100 * 2 ** 20);
      await one.worker.terminate();
    }
    expect(stats[Stat.LiveBytes]).toBe(live);
    // Only if the workers' 100 MB each are free again does this fit.
    addon.setMemoryLimit(live + 101 * 2 ** 20);
    const all = addon.allocate(cpu, 100 * 2 ** 20, undefined, false);
    expect(all, addon.lastError()).toBeGreaterThan(0);
    addon.release(all);
    addon.setMemoryLimit(0);
  });

  it('a worker is terminated in the middle of an asynchronous program', async () => {
    const n = 256;
    const bytes = n * n * 4;
    const blob = program(
      cpu,
      0,
      [
        { kind: 'external', at: 0, bytes },
        { kind: 'output', at: 0, bytes },
      ],
      Array.from({ length: 2000 }, () => matmul(cpu, 0, 0, 1, n)),
    );
    const script =
      'const x = addon.allocate(cpu, workerData.bytes, undefined, true); const id = addon.createProgram(workerData.blob);' +
      'for (let i = 0; i < 3; i++) addon.runProgramAsync(id, Float64Array.of(x), [{}]); parentPort.postMessage(id);';
    const one = worker(script, { blob, bytes });
    expect(await one.message).toBe(1);
    const begin = Date.now();
    expect(await one.worker.terminate()).toBe(1);
    expect(Date.now() - begin).toBeLessThan(5000);
  });
});

describe('process exit', () => {
  it('process.exit() inside an asynchronous program neither hangs nor crashes', () => {
    const { code, signal, err } = child(
      `${longProgram()} for (let i = 0; i < 5; i++) addon.runProgramAsync(id, Float64Array.of(x), [{}]);` +
        'setTimeout(() => process.exit(3), 20);',
      {},
      10_000,
    );
    expect({ code, signal, err }).toEqual({ code: 3, signal: null, err: '' });
  });

  it('an exception while a program is in flight ends the process as usual', () => {
    const { code, signal } = child(
      `${longProgram()} for (let i = 0; i < 5; i++) addon.runProgramAsync(id, Float64Array.of(x), [{}]);` +
        "setTimeout(() => { throw new Error('out'); }, 20);",
      {},
      10_000,
    );
    expect({ code, signal }).toEqual({ code: 1, signal: null });
  });

  it('a pending promise keeps the process alive, and nothing else does', () => {
    const { code, out } = child(
      `${longProgram()} addon.runProgramAsync(id, Float64Array.of(x), [{}]).then((r) => console.log(r.length, r[0] > 0));`,
    );
    expect({ code, out }).toEqual({ code: 0, out: '1 true' });
    expect(child('addon.openDevice("cpu", 0); console.log("end")').out).toBe('end');
  });

  it('handles, programs and promises may be left lying about', () => {
    const { code, signal } = child(
      `${longProgram()} for (let i = 0; i < 1000; i++) addon.allocate(cpu, i, {}, true); addon.readAsync(x, 0, new Float32Array(8)); process.exit(0);`,
    );
    expect({ code, signal }).toEqual({ code: 0, signal: null });
  });
});
