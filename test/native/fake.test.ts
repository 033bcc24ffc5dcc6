/** The device-shaped test backend: nothing above the interface may assume host memory or synchronous launches. */
import { afterAll, describe, expect, it } from 'vitest';
import { Code, Stat } from '../../lib/native/addon.js';
import { loadAttempts } from '../../lib/native/load.js';
import {
  addon,
  block,
  call,
  child,
  cpu,
  fakeLibrary,
  floats,
  kernel,
  matmul,
  program,
  run,
  stats,
  storage,
  view,
} from './harness.js';

const name = addon.loadBackend(fakeLibrary);
const fake = addon.openDevice('fake', 0);
const a = storage(fake, [1, 2, 3, 4]);
const b = storage(fake, [5, 6, 7, 8]);

afterAll(() => {
  addon.release(a);
  addon.release(b);
  expect(stats[Stat.LiveBytes]).toBe(0);
});

describe('a device with memory of its own and a late queue', () => {
  it('is loaded once and described', () => {
    expect(name).toBe('fake');
    expect(addon.loadBackend(fakeLibrary)).toBe('fake');
    expect(addon.openDevice('fake', 0)).toBe(fake);
    expect(addon.deviceInfo(fake)).toMatchObject({ hostMemory: false, asynchronous: true });
    const listed = addon.backends().map((backend) => [backend.name, backend.devices]);
    expect(listed).toEqual([
      ['cpu', 1],
      ['fake', 2],
    ]);
    const rows = (device: number) => addon.kernels(device).map((row) => `${row.op} ${row.signature} ${row.dtypes}`);
    expect(rows(fake)).toEqual(rows(cpu));
  });

  it('computes with the same bits as the CPU', () => {
    const n = 96;
    const values = Array.from({ length: n * n }, (_, i) => Math.fround(Math.cos(i)));
    const results = [cpu, fake].map((device) => {
      const x = storage(device, values);
      expect(run(matmul(device, x, x, 0, n))).toBe(Code.Ok);
      const y = block[0]!;
      expect(run(matmul(device, y, x, 0, n))).toBe(Code.Ok);
      const z = block[0]!;
      const answer = floats(z, n * n);
      [x, y, z].forEach((handle) => addon.release(handle));
      return answer;
    });
    expect(results[1]).toEqual(results[0]);
  });

  it('memory released behind a launch is not reused under it', () => {
    const x = storage(fake, [1, 0, 0, 1]);
    expect(run(matmul(fake, a, x, 0, 2))).toBe(Code.Ok);
    const y = block[0]!;
    addon.release(x);
    const z = storage(fake, [9, 9, 9, 9]); // most likely the same block
    expect(floats(y, 4)).toEqual([1, 2, 3, 4]);
    addon.release(y);
    addon.release(z);
  });

  it('copies between devices and within one', () => {
    const host = storage(cpu, [0, 0, 0, 0]);
    expect(addon.copy(host, 0, a, 8, 8)).toBe(Code.Ok);
    expect(floats(host, 4)).toEqual([3, 4, 0, 0]);
    const there = storage(fake, [0, 0, 0, 0]);
    expect(addon.copy(there, 4, host, 0, 8)).toBe(Code.Ok);
    expect(addon.copy(there, 12, there, 4, 4)).toBe(Code.Ok);
    expect(floats(there, 4)).toEqual([0, 3, 4, 3]);
    addon.release(host);
    addon.release(there);
  });

  it('a storage of another device in a call is BadArgument', () => {
    const host = storage(cpu, [1, 2, 3, 4]);
    expect(run(matmul(fake, a, host, 0, 2))).toBe(Code.BadArgument);
    expect(addon.lastError()).toContain('device');
    addon.release(host);
  });

  it('runs programs, at once and asynchronously', async () => {
    const blob = program(
      fake,
      64,
      [
        { kind: 'external', at: 0, bytes: 16 },
        { kind: 'external', at: 1, bytes: 16 },
        { kind: 'arena', at: 0, bytes: 16 },
        { kind: 'output', at: 0, bytes: 16 },
      ],
      [matmul(fake, 0, 1, 2, 2), matmul(fake, 2, 1, 3, 2)],
    );
    const id = addon.createProgram(blob);
    expect(id, addon.lastError()).toBeGreaterThan(0);
    expect(addon.runProgram(id, Float64Array.of(a, b))).toBe(Code.Ok);
    expect(floats(block[0]!, 4)).toEqual([249, 290, 565, 658]);
    addon.release(block[0]!);
    const [late] = await addon.runProgramAsync(id, Float64Array.of(b, a), [undefined]);
    const target = new Float32Array(4);
    expect(await addon.readAsync(late!, 0, target)).toBe(Code.Ok);
    expect(Array.from(target)).toEqual([125, 182, 169, 246]);
    addon.release(late!);
    addon.releaseProgram(id);
  });
});

describe('its faults, each in a process of its own', () => {
  const load = 'try { addon.loadBackend(fakeLibrary); } catch (e) { console.log(e.code, e.message); }';
  const faults: Record<string, RegExp> = {
    abi: /^ERR_BACKEND .*backend_fake.* was built for interface version 2, this gradproof speaks version 1/,
    size: /^ERR_BACKEND .* interface table of \d+ bytes, this gradproof expects \d+/,
    null: /^ERR_BACKEND .* lacks upload in its interface table/,
    entry: /^ERR_BACKEND .* does not speak interface version 1/,
  };
  for (const [fault, words] of Object.entries(faults)) {
    it(`a backend with the fault '${fault}' is refused in words`, () => {
      expect(child(load, { GRADPROOF_FAKE_FAULT: fault }).out).toMatch(words);
    });
  }

  it('a device that is not there or does not answer is ERR_DEVICE', () => {
    const open = `${load} try { addon.openDevice('fake', 0); } catch (e) { console.log(e.code, e.message); }`;
    expect(child(open, { GRADPROOF_FAKE_FAULT: 'nodevice' }).out).toMatch(/^ERR_DEVICE .*no fake device is plugged in/);
    expect(child(open, { GRADPROOF_FAKE_FAULT: 'open' }).out).toMatch(/^ERR_DEVICE .*does not answer/);
    expect(() => addon.openDevice('fake', 9)).toThrow(/has 2 device\(s\), got index 9/);
    expect(() => addon.openDevice('nonesuch', 0)).toThrow(/there is no backend 'nonesuch'/);
  });

  it('what is not a library, or has no entry, is told by path and reason', () => {
    expect(() => addon.loadBackend('/nonexistent/backend.so')).toThrow(/cannot load .*\/nonexistent\/backend\.so/);
    expect(() => addon.loadBackend(new URL(import.meta.url).pathname)).toThrow(/cannot load .*fake\.test\.ts/);
    const own = loadAttempts().at(-1)?.path ?? '';
    expect(() => addon.loadBackend(own)).toThrow(/does not export gp_backend_entry/);
  });

  const setUp =
    "addon.loadBackend(fakeLibrary); const fake = addon.openDevice('fake', 0);" +
    'const make = (v) => { const h = addon.allocate(fake, 16, undefined, false); addon.write(h, 0, Float32Array.from(v)); return h; };' +
    'const x = make([1, 2, 3, 4]); const out = new Float32Array(4);' +
    `const words = ${JSON.stringify(matmul(fake, 1, 1, 0, 2))}; words[6] = words[15] = x;` +
    'words[0] = fake; const launch = () => { block.set(words); return addon.run(); };';

  it('a launch that fails is known when somebody reads, and is told once', () => {
    const script =
      `${setUp} console.log(launch(), launch(), launch()); const y = block[0];` +
      'console.log(addon.read(y, 0, out), block.slice(0, 2).join(), addon.lastError());' +
      'console.log(addon.read(x, 0, out), out.join(), addon.synchronize(fake), launch(), addon.read(block[0], 0, out), out.join());';
    const lines = child(script, { GRADPROOF_FAKE_FAIL: 'matmul:2' }).out.split('\n');
    expect(lines[0]).toBe('0 0 0');
    expect(lines[1]).toMatch(/^-5 -5,2 fake:0: launch 2 failed/);
    expect(lines[2]).toBe('0 1,2,3,4 0 0 0 7,10,15,22');
  });

  it('after a failure, launches that mutate are skipped until somebody has seen it', () => {
    const fill = call(fake, kernel(fake, 'fill_'), [view(1, [2, 2])], [], [9]);
    const script =
      `${setUp} const fill = ${JSON.stringify(fill)}; fill[6] = x; const y = make([0, 0, 0, 0]);` +
      'const mutate = () => { block.set(fill); return addon.run(); };' +
      'console.log(launch(), mutate(), launch());' +
      'console.log(addon.read(x, 0, out), addon.read(x, 0, out), out.join());' +
      'console.log(mutate(), addon.read(x, 0, out), out.join());';
    const lines = child(script, { GRADPROOF_FAKE_FAIL: 'matmul:1' }).out.split('\n');
    expect(lines).toEqual(['0 0 0', '-5 0 1,2,3,4', '0 0 9,9,9,9']);
  });

  it('an asynchronous program tells which instruction failed', () => {
    const blob = program(
      fake,
      0,
      [
        { kind: 'external', at: 0, bytes: 16 },
        { kind: 'output', at: 0, bytes: 16 },
      ],
      Array.from({ length: 4 }, () => matmul(fake, 0, 0, 1, 2)),
    );
    const script =
      `${setUp} const blob = Float64Array.from(${JSON.stringify(Array.from(blob))}); const id = addon.createProgram(blob);` +
      'addon.runProgramAsync(id, Float64Array.of(x), [{}]).then((r) => { console.log(r.join(), addon.lastError(), stats[1]);' +
      'return addon.runProgramAsync(id, Float64Array.of(x), [{}]); }).then((r) => console.log(r.length));';
    const lines = child(script, { GRADPROOF_FAKE_FAIL: 'matmul:3' }).out.split('\n');
    expect(lines[0]).toMatch(/^-5,2,0,0 fake:0: instruction 2 of program 1 failed .* 1$/);
    expect(lines[1]).toBe('1');
  });

  it('no memory on the n-th allocation: tried again after a trim, then OutOfMemory that leaves everything usable', () => {
    const script =
      `${setUp} const big = addon.allocate(fake, 64 << 20); console.log(big > 0 ? 'ok' : big, addon.lastError());` +
      'console.log(addon.allocate(fake, 64 << 20) > 0, launch(), addon.read(block[0], 0, out), out.join());';
    const once = child(script, { GRADPROOF_FAKE_OOM: '2' }).out.split('\n');
    expect(once[0]).toMatch(/^ok/);
    const lines = child(script, { GRADPROOF_FAKE_OOM: '2:2' }).out.split('\n');
    expect(lines[0]).toMatch(/^-3 the fake backend has no room for 67108864 bytes .*the fake device is full/);
    expect(lines[1]).toBe('true 0 0 7,10,15,22');
  });

  it('the process ends while launches stand in the queue', () => {
    const { code, signal, err } = child(`${setUp} for (let i = 0; i < 100; i++) launch(); process.exit(4);`);
    expect({ code, signal, err }).toEqual({ code: 4, signal: null, err: '' });
  });
});
