/** A program: a plan handed to the native side, run in one call, printable and measurable. */
import { GradproofError } from '../errors.js';
import { Code, PROGRAM_VERSION } from '../native/addon.js';
import { collectIfDue, collectNow } from '../native/memory.js';
import { addon, block, nativeError, type Device } from '../native/runtime.js';
import { dtypeNumber } from '../tensor/dtype.js';
import { Storage } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';
import type { Written } from './check.js';
import type { Plan } from './plan.js';
import { refresh } from './scalar.js';
import { chromeTrace, type ChromeTrace, type ProfileRow } from './profile.js';
import { workOf } from './work.js';
import { listOf, operands, where, type Instruction, type Operand, type Place } from './record.js';

/** Bytes that a program holds. */
export interface ProgramMemory {
  /** Bytes of the arena that all intermediate values share. */
  readonly arena: number;
  /** The largest sum of intermediate bytes alive at once: no plan can need less. */
  readonly lowerBound: number;
  /** Bytes of parameters, state and other bound tensors. */
  readonly bound: number;
  /** Bytes of one run's results. */
  readonly outputs: number;
}

/** A program that nobody can reach gives back its arena, at the next turn of the event loop. */
const unreachable = new FinalizationRegistry<number>((id) => {
  addon().releaseProgram(id);
});

/** Bytes; smaller ones are not worth a collection. */
const LARGE_ARENA = 16 * 1024 * 1024;

/** A captured step: `String(program)` lists its kernels with shapes and lines. */
export class Program {
  /** The native side's number; 0 before the first run. */
  #id = 0;
  readonly #argumentBytes: readonly number[];
  readonly #plan: Plan;
  readonly #device: Device;
  readonly #handles: Float64Array;
  readonly #scalars: readonly Tensor[];
  readonly #outputBytes: readonly number[];
  #profiling = false;

  /** @internal */
  constructor(plan: Plan, device: Device, argumentBytes: readonly number[]) {
    this.#plan = plan;
    this.#device = device;
    this.#argumentBytes = argumentBytes;
    this.#handles = new Float64Array(plan.externals.length);
    this.#outputBytes = plan.slots.filter(({ kind }) => kind === 'output').map(({ bytes }) => bytes);
    this.#scalars = plan.externals.flatMap((external) =>
      external instanceof Storage && external.refresh !== undefined
        ? [new Tensor(external, [], [], 0, external.refresh.dtype)]
        : [],
    );
  }

  /** @internal Whether it has run, and so has its arena. */
  get opened(): boolean {
    return this.#id !== 0;
  }

  /**
   * Makes the arena, on the first run: by then what the recorded calls made is garbage, which goes back to the system first
   * where it is much. An arena beside it would cost its size again, and fresh pages cost more than the plan.
   */
  #open(): number {
    if (this.#id !== 0) return this.#id;
    if (this.#plan.arenaBytes >= LARGE_ARENA) {
      collectNow(true);
      addon().trim();
    }
    const id = addon().createProgram(encode(this.#plan, this.#device, this.#argumentBytes));
    if (id < 0) throw nativeError(id, 'compile');
    unreachable.register(this, id, this);
    this.#id = id;
    return id;
  }

  #bind(args: readonly Tensor[]): void {
    for (const tensor of this.#scalars) refresh(tensor);
    this.#plan.externals.forEach((external, i) => {
      this.#handles[i] = typeof external === 'number' ? args[external]!.storage.handle : external.handle;
    });
  }

  #touch(args: readonly Tensor[]): void {
    for (const i of this.#plan.written) {
      const external = this.#plan.externals[i]!;
      (typeof external === 'number' ? args[external]!.storage : external).version++;
    }
  }

  /** @internal The storages that a run writes, with the instruction that writes each. */
  written(args: readonly Tensor[]): Written[] {
    return this.#plan.written.map((i) => {
      const external = this.#plan.externals[i]!;
      const writer = this.#plan.instructions.find((instruction) =>
        operands(instruction).some(({ place, writes }) => writes && this.#externalAt(place) === i),
      );
      const storage = typeof external === 'number' ? args[external]!.storage : external;
      return { storage, op: writer?.op.name ?? 'compile', at: writer?.at };
    });
  }

  #externalAt(place: Place): number | undefined {
    const slot = this.#plan.slots[this.#plan.slotOf(place)]!;
    return slot.kind === 'external' ? slot.at : undefined;
  }

  #owners(): Storage[] {
    return this.#outputBytes.map((bytes) => new Storage(this.#device, bytes));
  }

  /** @internal Runs once; the fresh storages of the outputs, in the plan's order. */
  run(args: readonly Tensor[]): Storage[] {
    collectIfDue();
    const id = this.#open();
    this.#bind(args);
    let owners = this.#owners();
    let code = addon().runProgram(id, this.#handles, ...owners);
    if ((code === Code.OutOfMemory || code === Code.OutOfHandles) && block[1] === -1) {
      collectNow(true);
      owners = this.#owners();
      code = addon().runProgram(id, this.#handles, ...owners);
    }
    this.#touch(args);
    if (code !== Code.Ok) throw this.#failure(code, block[1]!, block[2]!, block[3]!);
    owners.forEach((owner, i) => (owner.handle = block[i]!));
    return owners;
  }

  /** @internal Runs on the addon's own thread. */
  async runAsync(args: readonly Tensor[]): Promise<Storage[]> {
    collectIfDue();
    const id = this.#open();
    this.#bind(args);
    const owners = this.#owners();
    this.#touch(args);
    const answer = await addon().runProgramAsync(id, this.#handles, owners);
    const code = answer[0] ?? 0;
    if (code < 0) throw this.#failure(code, answer[1]!, answer[2]!, answer[3]!);
    owners.forEach((owner, i) => (owner.handle = answer[i]!));
    return owners;
  }

  #failure(code: number, index: number, position: number, value: number): GradproofError {
    const instruction = this.#plan.instructions[index];
    const error = nativeError(code, instruction?.op.name ?? 'compile', position, value);
    if (instruction?.at === undefined) return error;
    return new GradproofError(error.code, `${error.message.replace(/^\[[^\]]*\] /, '')}${where(instruction.at)}`, {
      op: instruction.op.name,
      cause: error,
      details: { ...error.details, at: instruction.at },
    });
  }

  /** Number of kernel calls in one run. */
  get length(): number {
    return this.#plan.instructions.length;
  }

  memory(): ProgramMemory {
    let bound = 0;
    for (const external of this.#plan.externals) if (external instanceof Storage) bound += external.bytes;
    return {
      arena: this.#plan.arenaBytes,
      lowerBound: this.#plan.lowerBound,
      bound,
      outputs: this.#outputBytes.reduce((sum, bytes) => sum + bytes, 0),
    };
  }

  /** Starts measuring on the first call; afterwards the mean time of every instruction since then. */
  profile(): ProfileRow[] {
    const times = addon().profileProgram(this.#open(), true);
    if (!this.#profiling) this.#profiling = true;
    const runs = Math.max(1, times[times.length - 1] ?? 1);
    let total = 0;
    for (let i = 0; i < times.length - 1; i++) total += times[i]!;
    return this.#plan.instructions.map((instruction, i) => {
      const ns = (times[i] ?? 0) / runs;
      const { flops, bytes } = workOf(instruction);
      return {
        op: instruction.op.name,
        at: instruction.at,
        shape: shapes(instruction),
        ns,
        share: total === 0 ? 0 : (times[i] ?? 0) / total,
        gflops: flops === 0 ? undefined : ns === 0 ? 0 : flops / ns,
        gbs: ns === 0 ? 0 : bytes / ns,
      };
    });
  }

  /**
   * What {@link profile} measured, as a Chrome trace for chrome://tracing or ui.perfetto.dev: write `JSON.stringify` of it
   * to a file. Call it once before the runs to measure and once after.
   */
  trace(): ChromeTrace {
    return chromeTrace(this.profile());
  }

  /** One line per instruction: results, op, operands, source line. */
  toString(): string {
    const lines = this.#plan.instructions.map((instruction) => `  ${line(this.#plan, instruction)}`);
    const { arena, bound } = this.memory();
    return [
      `program (${String(this.length)} kernels, arena ${String(arena)} bytes, bound ${String(bound)} bytes) {`,
      ...lines,
      '}',
    ].join('\n');
  }

  /** @internal */
  release(): void {
    if (this.#id === 0) return;
    unreachable.unregister(this);
    addon().releaseProgram(this.#id);
    this.#id = 0;
  }
}

function shapes(instruction: Instruction): string {
  const shown = instruction.outputs.flatMap(listOf);
  return (shown.length > 0 ? shown : instruction.inputs.flatMap(listOf).slice(0, 1))
    .map(({ dtype, shape }) => `${dtype}[${shape.join(', ')}]`)
    .join(', ');
}

function name(plan: Plan, { place }: Operand): string {
  const slot = plan.slots[plan.slotOf(place)]!;
  if (slot.kind === 'arena') return `%${place.kind === 'made' ? String(place.index) : '?'}`;
  if (slot.kind === 'output') return `out${String(slot.at)}`;
  return place.kind === 'argument'
    ? `arg${String(place.index)}`
    : place.kind === 'leaf' && place.storage.constant !== undefined
      ? String(place.storage.constant)
      : `@${String(slot.at)}`;
}

function line(plan: Plan, instruction: Instruction): string {
  const results = instruction.outputs.flatMap(listOf).map((operand) => name(plan, operand));
  const inputs = instruction.inputs
    .filter((slot) => slot !== undefined)
    .map((slot) => {
      const list = listOf(slot).map((operand) => name(plan, operand));
      return list.length === 1
        ? list[0]!
        : `[${list.length > 4 ? `${list.slice(0, 2).join(', ')}, … ${String(list.length)}` : list.join(', ')}]`;
    });
  const attrs = instruction.op.attrs
    .filter(({ name: key }) => instruction.attrs[key] !== undefined)
    .map(({ name: key }) => `${key}=${JSON.stringify(instruction.attrs[key])}`);
  const left = results.length === 0 ? '' : `${results.join(', ')} = `;
  return `${left}${instruction.op.name}(${[...inputs, ...attrs].join(', ')})  # ${shapes(instruction)}${instruction.at === undefined ? '' : ` ${instruction.at.replace(/^.*\//, '')}`}${instruction.notes === undefined ? '' : `; ${instruction.notes.join(', ')}`}`;
}

/** The blob of lib/native/addon.ts. */
function encode(plan: Plan, device: Device, argumentBytes: readonly number[]): Float64Array {
  const externals = plan.externals.length;
  const out: number[] = [
    PROGRAM_VERSION,
    device.id,
    plan.arenaBytes,
    plan.slots.length,
    externals,
    plan.outputs.length,
    plan.instructions.length,
  ];
  const kinds = { arena: 0, external: 1, output: 2 } as const;
  for (const { kind, at, bytes } of plan.slots)
    out.push(kinds[kind], at, kind === 'external' && at < argumentBytes.length ? argumentBytes[at]! : bytes);
  const scratch = new Float64Array(256);
  for (const instruction of plan.instructions) {
    const start = out.length;
    out.push(0, device.id, instruction.rowId, instruction.inputs.length, instruction.outputs.length, 0);
    for (const slots of [instruction.inputs, instruction.outputs]) {
      for (const slot of slots) {
        const list = listOf(slot);
        out.push(list.length);
        for (const { place, dtype, shape, stride, offset } of list)
          out.push(plan.slotOf(place), dtypeNumber(dtype), shape.length, offset, ...shape, ...stride);
      }
    }
    let attrs = 0;
    for (const { name: key, spec } of instruction.op.attrs) attrs = spec.encode(instruction.attrs[key], scratch, attrs);
    for (let i = 0; i < attrs; i++) out.push(scratch[i]!);
    out[start + 5] = attrs;
    out[start] = out.length - start;
  }
  return Float64Array.from(out);
}
