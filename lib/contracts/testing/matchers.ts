/** The facts that a test can state about a model or a function of tensors; every runner's matchers are made of these. */
import { audit, Positions, type AuditOptions } from '../../audit/index.js';
import { gradcheck, type GradcheckOptions } from '../../autograd/index.js';
import { GradproofError } from '../../errors.js';
import { remaining } from '../../mutate/index.js';
import { Module } from '../../nn/index.js';
import { AdamW, type Optimizer } from '../../optim/index.js';
import { isTensor, type Tensor } from '../../tensor/tensor.js';

export interface Fact {
  readonly pass: boolean;
  /** Says what was seen, and under `not` what was not expected. */
  readonly message: () => string;
}

export interface TrainOptions {
  readonly loss: (model: Module) => Tensor;
  /** Default 50. */
  readonly steps?: number | undefined;
  /** The loss must end below this share of where it started. Default 0.5. */
  readonly below?: number | undefined;
  /** Default AdamW with lr 3e-3. */
  readonly optimizer?: ((parameters: readonly (readonly [string, Tensor])[]) => Optimizer) | undefined;
}

const NO_HISTORY =
  'the loss has no gradient history, so nothing can train; gp.audit(model, loss) names the op that cut it';

function moduleOf(value: unknown, what: string): Module {
  if (value instanceof Module) return value;
  throw new GradproofError('ERR_ARGUMENT', `a module is needed, got ${typeof value}`, { op: what });
}

type Checked = Parameters<typeof gradcheck>[0];

function isCheckable(value: unknown): value is Checked {
  return typeof value === 'function' || value instanceof Module;
}

/** The audit has no finding. */
export function hasNoDeadParameters(model: unknown, loss: (model: Module) => Tensor, options?: AuditOptions): Fact {
  const { ok, findings } = audit(moduleOf(model, 'toHaveNoDeadParameters'), loss, options);
  const list = findings.map(({ message }) => `\n  ${message}`).join('');
  return {
    pass: ok,
    message: () =>
      ok
        ? 'every parameter is alive, and one was expected to be dead'
        : `the audit has ${findings.length} findings:${list}`,
  };
}

/** Gradients agree with central differences in f64. */
export function passesGradcheck(f: unknown, inputs: readonly Tensor[], options?: GradcheckOptions): Fact {
  if (!isCheckable(f))
    throw new GradproofError('ERR_ARGUMENT', `a function of tensors or a module is needed, got ${typeof f}`, {
      op: 'toPassGradcheck',
    });
  if (!inputs.every(isTensor))
    throw new GradproofError('ERR_ARGUMENT', 'the inputs must be tensors', { op: 'toPassGradcheck' });
  const { ok, findings } = gradcheck(f, inputs, { ...options, throws: false });
  const list = findings.map(
    ({ name, kind, position, analytic, numeric }) =>
      `\n  ${name}: ${kind} at [${position.join(', ')}]: analytic ${analytic}, numeric ${numeric}`,
  );
  return {
    pass: ok,
    message: () =>
      ok
        ? 'the gradients are right, and were expected not to be'
        : `gradients disagree with central differences:${list.join('')}`,
  };
}

/** The loss falls below a share of itself. The model keeps what it learned. */
export function trains(model: unknown, { loss, steps = 50, below = 0.5, optimizer }: TrainOptions): Fact {
  const module = moduleOf(model, 'toTrain');
  const named = module.namedParameters();
  const opt = optimizer?.(named) ?? new AdamW(named, { lr: 3e-3 });
  const first = loss(module).item();
  const before = new Positions(named);
  let last = first;
  let done = 0;
  while (done < steps && Number.isFinite(last)) {
    opt.zeroGrad();
    const root = loss(module);
    if (!root.requiresGrad) return { pass: false, message: () => NO_HISTORY };
    root.backward();
    opt.step();
    done++;
    last = loss(module).item();
  }
  const pass = remaining(first, last) < below;
  const unmoved = before
    .movement(named, 0)
    .filter(({ ok }) => !ok)
    .map(({ name }) => name);
  return {
    pass,
    message: () => {
      const seen = `after ${done} steps the loss is ${last}, from ${first}: ${pass ? 'below' : 'not below'} ${below} of it`;
      if (pass || unmoved.length === 0) return seen;
      return `${seen}; did not move: ${unmoved.join(', ')} (gp.audit(model, loss) says why)`;
    },
  };
}
