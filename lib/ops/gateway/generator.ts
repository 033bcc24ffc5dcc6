/**
 * Random numbers: one counter-based generator (Philox4x32-10; Salmon et al., "Parallel Random Numbers: As Easy as
 * 1, 2, 3", 2011) per device. Its state is a tensor i64[2] {seed, offset} that every random kernel reads and advances, so
 * eager and captured steps draw the same stream.
 */
import { GradproofError, shown } from '../../errors.js';
import { openDevice, type Device } from '../../native/runtime.js';
import { fromHost, readBigInts, writeHost } from '../../tensor/host.js';
import type { Tensor } from '../../tensor/tensor.js';
import { state } from './state.js';

const generators = new Map<Device, Tensor>();
let seedOfNew = 0n;

/** @internal The generator's state tensor of a device. */
export function generatorState(device: Device): Tensor {
  let tensor = generators.get(device);
  if (tensor === undefined) {
    tensor = fromHost(BigInt64Array.of(seedOfNew, 0n), 'i64', device);
    tensor.storage.kept = true;
    generators.set(device, tensor);
  }
  return tensor;
}

/** Seeds the generators of all devices (default 0). The same seed gives the same stream on every backend. */
export function manualSeed(seed: number | bigint): void {
  if (typeof seed !== 'bigint' && (!Number.isSafeInteger(seed) || seed < 0)) {
    throw new GradproofError('ERR_VALUE', `seed must be an integer >= 0 (or a bigint), got ${shown(seed)}`, {
      op: 'manualSeed',
    });
  }
  seedOfNew = BigInt.asIntN(64, BigInt(seed));
  for (const tensor of generators.values()) writeHost(tensor, BigInt64Array.of(seedOfNew, 0n));
}

/** Seed and offset of the present device's generator; give it to {@link setRngState} to continue from here. */
export function getRngState(device: string = state.device): { readonly seed: bigint; readonly offset: bigint } {
  const [seed = 0n, offset = 0n] = readBigInts(generatorState(openDevice(device)));
  return { seed, offset };
}

/** Goes on where {@link getRngState} was asked. */
export function setRngState(
  rng: { readonly seed: bigint; readonly offset: bigint },
  device: string = state.device,
): void {
  const { seed, offset }: Readonly<Record<string, unknown>> = { ...rng };
  if (typeof seed !== 'bigint' || typeof offset !== 'bigint') {
    throw new GradproofError('ERR_ARGUMENT', 'the state must be { seed, offset }, both bigints', {
      op: 'setRngState',
      hint: 'Pass what getRngState() returned.',
    });
  }
  writeHost(generatorState(openDevice(device)), BigInt64Array.of(BigInt.asIntN(64, seed), BigInt.asIntN(64, offset)));
}
