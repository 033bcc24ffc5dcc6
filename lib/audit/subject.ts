/** A subject: what a file offers to every command and contract as its default export. */
import { GradproofError } from '../errors.js';
import { needFunction } from '../ops/options.js';
import { Module } from '../nn/index.js';
import type { AuditOptions } from './audit.js';
import type { Tensor } from '../tensor/tensor.js';

/** A module with its loss, or a function of tensors. */
export interface SubjectParts<M extends Module = Module> {
  readonly module: M;
  /** A scalar loss on real (or typical) data. */
  readonly loss: (module: M) => Tensor;
  /** The tensors that go in, by name; for reports. */
  readonly inputs?: Readonly<Record<string, Tensor>> | undefined;
  /** What the model declares of itself: structural zeros, ties, whether it is causal. */
  readonly audit?: AuditOptions | undefined;
}

export interface Subject {
  readonly kind: 'gradproof.subject';
  /** The module class of the copy of the package that declared it. */
  readonly base: unknown;
  /** Builds the parts afresh. */
  open(): Promise<SubjectParts>;
}

/** Declares a subject: `export default gp.defineSubject(async () => ({ module, loss: (m) => …, inputs }))`. */
export function defineSubject<M extends Module>(make: () => SubjectParts<M> | Promise<SubjectParts<M>>): Subject {
  needFunction('defineSubject', 'the argument', make);
  return {
    kind: 'gradproof.subject',
    base: Module,
    async open() {
      const parts = await make();
      const { module, loss, inputs, audit } = parts;
      if (!(module instanceof Module) || typeof loss !== 'function') {
        throw new GradproofError('ERR_SUBJECT', 'a subject needs { module: a Module, loss: a function of it }', {
          op: 'defineSubject',
        });
      }
      return {
        module,
        loss: (given: Module) => {
          if (!isLike(given, module))
            throw new GradproofError('ERR_SUBJECT', 'the loss was given another class of module');
          return loss(given);
        },
        inputs,
        audit,
      };
    },
  };
}

function isLike<M extends Module>(given: Module, module: M): given is M {
  return given.constructor === module.constructor;
}

export function isSubject(value: unknown): value is Subject {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    value.kind === 'gradproof.subject' &&
    'open' in value
  );
}

/** The subject that a loaded file exports by default; ERR_SUBJECT says what is there instead. */
export function subjectOf(module: unknown, file: string): Subject {
  const found = typeof module === 'object' && module !== null && 'default' in module ? module.default : undefined;
  if (isSubject(found)) {
    if (found.base === Module) return found;
    throw new GradproofError('ERR_TWO_COPIES', `${file} uses another loaded copy of gradproof than this command`, {
      hint: 'Run `npm ls gradproof` and keep one version; load the file as an ES module ("type": "module", or .mts).',
    });
  }
  throw new GradproofError(
    'ERR_SUBJECT',
    `the default export of ${file} must be gp.defineSubject(…), got ${typeof found}`,
    {
      hint: 'export default gp.defineSubject(async () => ({ module, loss: (m) => …, inputs: {} }));',
    },
  );
}
