/** What a run closes with: evidence that every parameter took part, moved, and got the right gradients. */
import { audit, checkOp, type AuditReport, type Movement, type OpCheck, type Positions } from '../audit/index.js';
import { gradcheck, type GradcheckReport } from '../autograd/index.js';
import { tensorOf } from '../data/dataset.js';
import { GPT } from '../models/index.js';
import { findOp } from '../ops/gateway/registry.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ReportTable } from './report.js';

export interface Proof {
  readonly ok: boolean;
  readonly audit: AuditReport;
  readonly movement: readonly Movement[];
  /** Every op of the forward pass. */
  readonly ops: readonly OpCheck[];
  /** The whole model, small and in f64. */
  readonly model: GradcheckReport;
  /** The proof in a few lines, for a terminal. */
  readonly lines: readonly string[];
}

/** The same architecture, small enough to try every parameter. */
function smallCopy({ config }: GPT): GPT {
  const layers = Math.min(config.layers, 2);
  return new GPT({ ...config, vocab: 5, block: 4, layers, heads: 2, width: 8, dropout: 0 });
}

/** Audits the model on a real batch, measures movement since `start`, and checks gradients in f64. */
export function prove(model: GPT, loss: (model: GPT) => Tensor, start: Positions): Proof {
  const report = audit(model, loss);
  const movement = start.movement(model.namedParameters());
  const ops = report.ops.flatMap((name) => {
    const op = findOp(name);
    return op === undefined ? [] : [checkOp(op)];
  });
  const ids = tensorOf(Int32Array.of(1, 4, 0, 2, 3, 3, 1, 0), [2, 4], 'i32', 'cpu');
  const small = gradcheck(smallCopy(model), [ids], { throws: false, name: 'GPT' });
  const still = movement.filter(({ ok }) => !ok);
  const failed = ops.filter(({ status }) => status === 'failed');
  const checked = ops.filter(({ status }) => status === 'passed');
  const least = movement.reduce((a, b) => (b.relative < a.relative ? b : a), movement[0]!);
  const ok = report.ok && still.length === 0 && failed.length === 0 && small.ok;
  const mark = (good: boolean): string => (good ? 'ok ' : 'RED');
  const lines = [
    'proof',
    `  ${mark(report.ok)} gradient flow  ${report.parameters.length} parameters audited on the real graph, ${report.findings.length} findings`,
    ...report.findings.map(({ message }) => `      ${message}`),
    `  ${mark(still.length === 0)} movement       ${movement.length - still.length} of ${movement.length} moved; least ${least.name}: ${least.relative.toExponential(2)} of its norm`,
    ...still.map(({ name, relative }) => `      ${name} moved by ${relative.toExponential(2)} of its norm`),
    `  ${mark(failed.length === 0)} gradcheck      ${checked.length} ops of the model against central differences in f64, ${failed.length} failed`,
    ...failed.map(({ op, message }) => `      ${op}: ${message ?? ''}`),
    `  ${mark(small.ok)} gradcheck      the model itself, small and in f64: ${small.checked} parameters, ${small.findings.length} findings`,
    ...small.findings.map(({ name, kind }) => `      ${name}: ${kind}`),
  ];
  return { ok, audit: report, movement, ops, model: small, lines };
}

function show(value: number | undefined): string {
  return value === undefined ? '–' : value.toExponential(3);
}

/** The same as tables of the report. */
export function proofTables({ audit: report, movement, ops, model }: Proof): ReportTable[] {
  const moved = new Map(movement.map((m) => [m.name, m]));
  return [
    {
      title: 'Proof: gradient flow and movement',
      note: `Audited on the real graph with a batch of the training text (loss ${report.loss.toFixed(4)}). Movement is ‖θ − θ₀‖ / max(‖θ₀‖, 1) since step 0.`,
      head: ['parameter', 'shape', 'gradient norm', 'elements ≠ 0', 'moved', 'finding'],
      rows: report.parameters.map(({ name, shape, norm, nonzero, finding }) => [
        name,
        shape.join(' × '),
        show(norm),
        String(nonzero),
        show(moved.get(name)?.relative),
        finding ?? (moved.get(name)?.ok === false ? 'did not move' : 'alive'),
      ]),
      red: report.parameters.flatMap(({ name, finding }, i) =>
        finding !== undefined || moved.get(name)?.ok === false ? [i] : [],
      ),
    },
    {
      title: 'Proof: gradients against central differences (f64)',
      note: `The ops of the forward pass with the samples of their declarations; the model itself, small: ${model.checked} parameters, ${model.findings.length} findings.`,
      head: ['op', 'result', 'samples', 'remark'],
      rows: ops.map(({ op, status, samples, message }) => [op, status, String(samples), message ?? '']),
      red: ops.flatMap(({ status }, i) => (status === 'failed' ? [i] : [])),
    },
  ];
}
