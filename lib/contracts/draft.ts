/** A first contract for a model, from its recorded graph. */
import { audit, type SubjectParts } from '../audit/index.js';
import { preserving } from '../audit/preserve.js';
import { readSequence } from '../audit/sequence.js';
import type { Module } from '../nn/module.js';
import type { Tensor } from '../tensor/tensor.js';

export interface Draft {
  readonly text: string;
  /** What stands between this draft and a contract that holds. */
  readonly remarks: readonly string[];
}

/** The letters of ids: `my_model.ts` → `MYM`. */
function prefixOf(name: string): string {
  const letters = name.replace(/[^A-Za-z0-9]/g, '').toUpperCase();
  return letters === '' ? 'M' : letters.slice(0, 3);
}

function obligation(id: string, says: string, check: string, more: readonly string[] = []): string {
  const lines = [
    `  - id: ${id}`,
    '    says: >-',
    `      ${says}`,
    `    check: ${check}`,
    ...more,
    '    mutations: auto',
  ];
  return lines.join('\n');
}

/** Whether there is a sequence that must not look ahead, and rows in which that would show. */
function isCausal(module: Module, loss: () => Tensor): boolean {
  const named = module.namedParameters();
  const device = named[0]?.[1].device ?? 'cpu';
  const { sequence, isCausal: masked } = preserving(module, named, () => readSequence(module, device, loss));
  return sequence !== undefined && (masked || sequence.nextToken);
}

/** `name` without extension; `subject` as it stands in the contract. */
export function draftContract(name: string, subject: string, { module, loss, audit: declared }: SubjectParts): Draft {
  const { findings, parameters } = audit(module, loss, declared);
  const prefix = prefixOf(name);
  const remarks = findings.map(({ kind, message }) =>
    kind === 'zero'
      ? `${message}. If the structure of the model demands it, say so under 'zeros' of ${prefix}-1, with the reason.`
      : `red until mended: ${message}`,
  );
  const causal = isCausal(module, () => loss(module));
  const trained = parameters.filter(({ frozen }) => !frozen).length;
  const optimizer = '    with: { optimizer: { adamw: { lr: 0.001 } } }';
  const obligations = [
    obligation(`${prefix}-1`, `Each of the ${trained} trained parameters gets a gradient and moves.`, 'gradient-flow', [
      '    with: { steps: 5, optimizer: { adamw: { lr: 0.001 } } }',
    ]),
    obligation(`${prefix}-2`, 'The gradients are those of the loss.', 'gradients'),
    obligation(`${prefix}-3`, 'The loss is what it says.', 'loss'),
    obligation(`${prefix}-4`, 'The optimizer takes the steps of its publication.', 'optimizer-step', [optimizer]),
    obligation(`${prefix}-5`, 'Training on its batch lowers the loss.', 'trains', [
      '    with: { steps: 20, below: 0.95, optimizer: { adamw: { lr: 0.001 } } }',
    ]),
    ...(causal ? [obligation(`${prefix}-6`, 'No position looks ahead; attention reads content.', 'sequence')] : []),
  ];
  const head = ['# yaml-language-server: $schema=../node_modules/gradproof/contract.schema.json'];
  const text = [...head, `contract: ${name}`, `subject: ${subject}`, 'obligations:', ...obligations, ''].join('\n');
  return { text, remarks };
}
