/** What an instruction has to do at least: multiply-adds of products and bytes of its operands. */
import { dtypeSize } from '../tensor/dtype.js';
import { numel } from '../tensor/shape.js';
import { listOf, type Instruction, type Operand } from './record.js';

export interface Work {
  /** Floating-point operations of products (two per multiply-add); 0 for kernels that memory limits. */
  readonly flops: number;
  /** Bytes of every operand, once: read, written, or both (counted twice). */
  readonly bytes: number;
}

export function workOf(instruction: Instruction): Work {
  let bytes = 0;
  for (const slot of [...instruction.inputs, ...instruction.outputs])
    for (const operand of listOf(slot)) bytes += bytesOf(operand);
  for (const i of instruction.op.mutates)
    for (const operand of listOf(instruction.inputs[i])) bytes += bytesOf(operand);
  return { flops: flopsOf(instruction), bytes: bytes + ofRows(instruction) };
}

/** What to add where an op touches of a table only as many rows as another operand has. */
function ofRows({ op, inputs, outputs }: Instruction): number {
  const input = (i: number): number => listOf(inputs[i]).reduce((sum, operand) => sum + bytesOf(operand), 0);
  if (op.name === 'embedding') return listOf(outputs[0]).reduce((sum, y) => sum + bytesOf(y), 0) - input(1);
  return op.name === 'add_rows_' ? 2 * (input(1) - input(0)) : 0;
}

/** A broadcast axis is read once. */
function bytesOf({ dtype, shape, stride }: Operand): number {
  return shape.reduce((n, size, d) => (stride[d] === 0 && size > 0 ? n : n * size), dtypeSize(dtype));
}

function flopsOf({ op, inputs, outputs, attrs }: Instruction): number {
  const input = (i: number): readonly number[] => listOf(inputs[i])[0]?.shape ?? [];
  const y = listOf(outputs[0])[0]?.shape ?? [];
  switch (op.name) {
    case 'matmul':
    case 'linear':
    case 'linear_act':
      return 2 * numel(y) * (input(0)[input(0).length - 1] ?? 0);
    case 'conv2d':
      return 2 * numel(y) * numel(input(1).slice(1));
    case 'conv2d_backward': // `want` adds 1 for dx, 2 for dweight
      return 2 * numel(input(0)) * numel(input(2).slice(1)) * [0, 1, 1, 2][Number(attrs['want']) % 4]!;
    case 'scaled_dot_product_attention':
      return attentionFlops(input(0), input(1), input(2), attrs['isCausal'] === true, 1, 1);
    case 'scaled_dot_product_attention_backward':
      return attentionFlops(input(1), input(2), input(3), attrs['isCausal'] === true, 3, 2);
    default:
      return 0;
  }
}

/** `e` and `f` products of T x S x E and T x S x F; with a causal mask only the pairs that see each other. */
function attentionFlops(
  query: readonly number[],
  key: readonly number[],
  value: readonly number[],
  causal: boolean,
  e: number,
  f: number,
): number {
  const [b = 0, h = 0, t = 0, width = 0] = query;
  const s = key[2] ?? 0;
  const seen = Math.min(t, s);
  const pairs = causal ? (seen * (seen + 1)) / 2 + Math.max(0, t - s) * s : t * s;
  return 2 * b * h * pairs * (e * width + f * (value[3] ?? 0));
}
