/**
 * From a recording to a plan: which storages are arguments, bound leaves, outputs or arena, and where in the arena each
 * lives. Lifetimes are exact (first write to last read); offsets are chosen largest first, each at the lowest place that
 * is free for its whole life. The plan preserves bits: `rewrite.ts` only takes steps together that give the same ones.
 */
import type { Storage } from '../tensor/storage.js';
import type { Device } from '../native/runtime.js';
import { sameShape } from '../tensor/shape.js';
import { listOf, operands, type Instruction, type Operand, type Place, type Recording } from './record.js';
import { noted } from './draft.js';
import { rewrite } from './rewrite.js';

export type SlotKind = 'arena' | 'external' | 'output';

export interface PlannedSlot {
  readonly kind: SlotKind;
  /** Byte offset in the arena, or position among the externals or outputs. */
  readonly at: number;
  readonly bytes: number;
}

export interface Plan {
  readonly instructions: readonly Instruction[];
  readonly slots: readonly PlannedSlot[];
  /** Per external: the argument's position, or the bound storage. */
  readonly externals: readonly (number | Storage)[];
  /** Per output: the number of the storage made. */
  readonly outputs: readonly number[];
  readonly arenaBytes: number;
  /** The largest sum of bytes alive at one instruction: no arena can be smaller. */
  readonly lowerBound: number;
  /** External positions that some instruction writes. */
  readonly written: readonly number[];
  slotOf(place: Place): number;
}

const ALIGN = 64;

interface Life {
  readonly made: number;
  readonly bytes: number;
  readonly from: number;
  to: number;
}

/** Instructions whose results nobody reads and that write nothing outside are dropped. */
function alive(recording: Recording, outputs: ReadonlySet<number>): Instruction[] {
  const needed = new Set(outputs);
  const kept: Instruction[] = [];
  for (let i = recording.instructions.length - 1; i >= 0; i--) {
    const instruction = recording.instructions[i]!;
    const all = operands(instruction);
    if (!all.some(({ place, writes }) => writes && (place.kind !== 'made' || needed.has(place.index)))) continue;
    for (const { place } of all) if (place.kind === 'made') needed.add(place.index);
    kept.push(instruction);
  }
  return kept.reverse();
}

export function plan(recording: Recording, outputList: readonly number[], argumentCount: number, device: Device): Plan {
  const outputs = [...new Set(outputList)];
  const outputAt = new Map(outputs.map((made, i) => [made, i]));
  const kept = new Set(outputs);
  const { madeBytes } = recording;
  const rewritten = rewrite(alive(recording, kept), madeBytes, kept, device);
  const lives = new Map<number, Life>();
  const leaves = new Map<Storage, number>();
  const written = new Set<number>();
  rewritten.forEach((instruction, i) => {
    for (const { place, writes } of operands(instruction)) {
      if (place.kind === 'leaf') {
        if (!leaves.has(place.storage)) leaves.set(place.storage, argumentCount + leaves.size);
        if (writes) written.add(leaves.get(place.storage)!);
      } else if (place.kind === 'argument') {
        if (writes) written.add(place.index);
      } else if (!outputAt.has(place.index)) {
        const life = lives.get(place.index);
        if (life === undefined)
          lives.set(place.index, { made: place.index, bytes: madeBytes[place.index] ?? 0, from: i, to: i });
        else life.to = i;
      }
    }
  });
  const { instructions, inPlace } = overwrite(rewritten, lives);
  const { offsets, size } = pack([...lives.values()]);
  const slots: PlannedSlot[] = [];
  const externals: (number | Storage)[] = [];
  const argumentSlots: number[] = [];
  for (let i = 0; i < argumentCount; i++) {
    argumentSlots.push(slots.length);
    slots.push({ kind: 'external', at: i, bytes: 0 });
    externals.push(i);
  }
  const leafSlots = new Map<Storage, number>();
  for (const [storage, at] of leaves) {
    leafSlots.set(storage, slots.length);
    slots.push({ kind: 'external', at, bytes: storage.bytes });
    externals.push(storage);
  }
  const madeSlots = new Map<number, number>();
  for (const [made, at] of outputAt) {
    madeSlots.set(made, slots.length);
    slots.push({ kind: 'output', at, bytes: madeBytes[made] ?? 0 });
  }
  const places = new Map(offsets);
  for (const [made, of] of inPlace) places.set(made, offsets.get(of) ?? 0);
  for (const [made, at] of places) {
    madeSlots.set(made, slots.length);
    slots.push({ kind: 'arena', at, bytes: madeBytes[made] ?? 0 });
  }
  const slotOf = (place: Place): number =>
    place.kind === 'argument'
      ? argumentSlots[place.index]!
      : place.kind === 'leaf'
        ? leafSlots.get(place.storage)!
        : madeSlots.get(place.index)!;
  return {
    instructions,
    slots,
    externals,
    outputs,
    arenaBytes: size,
    lowerBound: peak([...lives.values()]),
    written: [...written],
    slotOf,
  };
}

/**
 * A pointwise kernel may write over an operand that nobody reads afterwards (pointwise.h): the result then shares the
 * operand's life and memory, and one stream of memory less is touched. `lives` loses those results; `inPlace` names
 * whose memory each has.
 */
function overwrite(
  rewritten: readonly Instruction[],
  lives: Map<number, Life>,
): { readonly instructions: readonly Instruction[]; readonly inPlace: ReadonlyMap<number, number> } {
  const inPlace = new Map<number, number>();
  const owner = (made: number): number => inPlace.get(made) ?? made;
  const instructions = rewritten.map((instruction, i) => {
    const y = listOf(instruction.outputs[0])[0];
    const { pointwise } = instruction.op;
    if ((pointwise !== 'same' && pointwise !== 'float') || y?.place.kind !== 'made') return instruction;
    const born = lives.get(y.place.index);
    if (born?.from !== i) return instruction;
    for (const x of instruction.inputs.flatMap(listOf)) {
      if (x.place.kind !== 'made') continue;
      const made = x.place.index;
      const life = lives.get(owner(made));
      if (life?.to !== i || life.bytes !== born.bytes) continue;
      const others = instruction.inputs
        .flatMap(listOf)
        .filter(({ place }) => place.kind === 'made' && owner(place.index) === owner(made));
      if (!others.every((operand) => sameView(operand, y))) continue;
      life.to = born.to;
      lives.delete(y.place.index);
      inPlace.set(y.place.index, owner(made));
      return noted(instruction, `in place of %${String(made)}`);
    }
    return instruction;
  });
  return { instructions, inPlace };
}

function sameView(a: Operand, b: Operand): boolean {
  return a.dtype === b.dtype && a.offset === b.offset && sameShape(a.shape, b.shape) && sameShape(a.stride, b.stride);
}

/** Offsets for lives such that no two that overlap in time overlap in memory. */
function pack(lives: readonly Life[]): { readonly offsets: ReadonlyMap<number, number>; readonly size: number } {
  const placed: { readonly life: Life; readonly start: number; readonly end: number }[] = [];
  const offsets = new Map<number, number>();
  let size = 0;
  for (const life of [...lives].sort((a, b) => b.bytes - a.bytes || a.from - b.from)) {
    const bytes = Math.ceil(Math.max(life.bytes, 1) / ALIGN) * ALIGN;
    const near = placed
      .filter((other) => other.life.from <= life.to && life.from <= other.life.to)
      .sort((a, b) => a.start - b.start);
    let start = 0;
    for (const other of near) {
      if (start + bytes <= other.start) break;
      start = Math.max(start, other.end);
    }
    placed.push({ life, start, end: start + bytes });
    offsets.set(life.made, start);
    size = Math.max(size, start + bytes);
  }
  return { offsets, size };
}

function peak(lives: readonly Life[]): number {
  const change = new Map<number, number>();
  for (const { from, to, bytes } of lives) {
    change.set(from, (change.get(from) ?? 0) + bytes);
    change.set(to + 1, (change.get(to + 1) ?? 0) - bytes);
  }
  let now = 0;
  let most = 0;
  for (const [, delta] of [...change].sort(([a], [b]) => a - b)) {
    now += delta;
    most = Math.max(most, now);
  }
  return most;
}
