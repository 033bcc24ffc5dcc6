import { describe, expect, it } from 'vitest';
import { Code, Stat } from '../../lib/native/addon.js';
import { addon, cpu, gc, stats, storage } from './harness.js';

describe('handles', () => {
  it('a released storage answers StaleHandle everywhere', () => {
    const handle = storage(cpu, [1, 2]);
    addon.release(handle);
    expect(addon.read(handle, 0, new Float32Array(2))).toBe(Code.StaleHandle);
    expect(addon.write(handle, 0, new Float32Array(2))).toBe(Code.StaleHandle);
    expect(addon.bytes(handle)).toBe(Code.StaleHandle);
    expect(addon.own(handle, {})).toBe(Code.StaleHandle);
    expect(addon.copy(handle, 0, handle, 0, 0)).toBe(Code.StaleHandle);
    expect(addon.lastError()).toContain('names no storage');
  });

  it('releasing twice changes nothing', () => {
    const before = stats[Stat.LiveObjects]!;
    const handle = storage(cpu, [1]);
    addon.release(handle);
    addon.release(handle);
    expect(stats[Stat.LiveObjects]).toBe(before);
  });

  it('what is not a handle is stale', () => {
    const handle = storage(cpu, [1]);
    for (const wrong of [0, -1, -handle, handle + 0.5, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 32 + handle, 1e300]) {
      expect(addon.bytes(wrong), String(wrong)).toBe(Code.StaleHandle);
    }
    addon.release(handle);
  });

  it('a stale handle stays stale while two million storages come and go', () => {
    // 9 bits of generation, and at least 4096 slots wait for reuse: 512 · 4096 allocations to the first alias.
    const first = storage(cpu, [1]);
    addon.release(first);
    for (let i = 0; i < 2_000_000; i++) {
      const handle = addon.allocate(cpu, 4, undefined, false);
      if (handle === first) expect.fail(`alias after ${i}`);
      addon.release(handle);
    }
    expect(addon.bytes(first)).toBe(Code.StaleHandle);
  });

  it('every handle is a positive 31-bit integer', () => {
    const handles = Array.from({ length: 3000 }, () => addon.allocate(cpu, 8, undefined, false));
    for (const handle of handles) expect(handle > 0 && handle < 2 ** 31 && Number.isInteger(handle)).toBe(true);
    expect(new Set(handles).size).toBe(handles.length);
    handles.forEach((handle) => addon.release(handle));
  });
});

describe('sweep', () => {
  it('20,000 owners dropped within one synchronous job are released after a minor collection', () => {
    const before = stats[Stat.LiveObjects]!;
    (() => {
      for (let i = 0; i < 20_000; i++) addon.allocate(cpu, 256, { i }, false);
    })();
    expect(stats[Stat.LiveObjects]! - before).toBe(20_000);
    gc('minor');
    const swept = addon.sweep();
    // The last object made may still stand in a register of this job.
    expect(swept).toBeGreaterThan(19_900);
    expect(stats[Stat.LiveObjects]! - before).toBe(20_000 - swept);
    gc();
    addon.sweep();
    expect(stats[Stat.LiveObjects]! - before).toBeLessThanOrEqual(1);
  });

  it('a storage whose owner lives survives, and so does one without an owner', () => {
    const owner = { name: 'kept' };
    const owned = storage(cpu, [1, 2, 3], owner);
    const free = storage(cpu, [4]);
    for (let i = 0; i < 3; i++) {
      gc();
      addon.sweep();
    }
    expect(addon.bytes(owned)).toBe(12);
    expect(addon.bytes(free)).toBe(4);
    expect(owner.name).toBe('kept');
    addon.release(owned);
    addon.release(free);
  });

  it('own gives an owner and takes it away', () => {
    const given = storage(cpu, [1]);
    const taken = storage(cpu, [1], { gone: true });
    (() => {
      addon.own(given, { gone: true });
    })();
    expect(addon.own(taken, undefined)).toBe(Code.Ok);
    gc();
    addon.sweep();
    expect(addon.bytes(given)).toBe(Code.StaleHandle);
    expect(addon.bytes(taken)).toBe(4);
    addon.release(taken);
  });

  it('more than one handle scope of living owners is looked through', () => {
    const owners = Array.from({ length: 2000 }, (_, i) => ({ i }));
    const handles = owners.map((owner) => addon.allocate(cpu, 16, owner, false));
    (() => {
      for (let i = 0; i < 1500; i++) addon.allocate(cpu, 16, { i }, false);
    })();
    gc();
    expect(addon.sweep()).toBeGreaterThan(1490);
    for (const handle of handles) expect(addon.bytes(handle)).toBe(16);
    expect(owners.length).toBe(2000);
    handles.forEach((handle) => addon.release(handle));
  });
});
