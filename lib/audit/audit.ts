/**
 * The audit of a model on its real graph: one recorded forward and backward pass, and every parameter and every edge is
 * accounted for; a second pass in f64 where a zero needs proof; a few forward passes with changed inputs for sequences.
 * Nothing of the model changes: parameters, buffers, gradients and random numbers are afterwards as they were.
 */
import { needModule, type Module } from '../nn/module.js';
import { needFunction } from '../ops/options.js';
import { AdamW } from '../optim/index.js';
import { Parameter } from '../nn/parameter.js';
import type { Tensor } from '../tensor/tensor.js';
import { observe, type Observed } from './backward.js';
import type { Flow } from './cuts.js';
import { detectPartial } from './detect_partial.js';
import { detectFlow } from './detect_flow.js';
import { detectSizes, detectUntied, gradientsOf, isSuspicious, type DeclaredZero } from './detect_size.js';
import { detectLeftovers, detectTraining, type TrainingOptions } from './detect_training.js';
import {
  assertReport,
  type AuditReport,
  type DeclaredStop,
  type Finding,
  type FindingKind,
  type ParameterFlow,
} from './finding.js';
import { graphOf } from './graph.js';
import { preserving } from './preserve.js';
import { detectByProbes, type ProbeOptions } from './probes.js';
import { shadowOf, type WideShadow } from './shadow.js';

export interface AuditOptions extends ProbeOptions {
  /** Gradients that are 0 by the model's structure. Two-sided: one that is not 0 in f64 is a finding. */
  readonly zeros?: readonly DeclaredZero[] | undefined;
  /** What is meant to pass no gradient: a straight-through estimator, a target. Where it is not said, `prove` is red. */
  readonly stops?: readonly DeclaredStop[] | undefined;
  /** Pairs of state-dict names that must be one tensor. */
  readonly tied?: readonly (readonly [string, string])[] | undefined;
  /** Trains copies for this many steps, and finds what is stuck. Default 0. */
  readonly steps?: number | undefined;
  /** For `steps`; default AdamW with lr 1e-3. */
  readonly optimizer?: TrainingOptions['optimizer'] | undefined;
  /** The learning rate that training is meant to have; default the optimizer's. */
  readonly lr?: number | undefined;
  /** Least ratio of the gradient of a layer's result to the last layer's. Default 1e-6. */
  readonly vanishing?: number | undefined;
  /** Largest such ratio. Default 1e6. */
  readonly exploding?: number | undefined;
}

/** All names of parameters, tied ones under each of theirs. */
function stateNames(model: Module): ReadonlyMap<string, Tensor> {
  const names = new Map<string, Tensor>();
  for (const [path, module] of model.namedModules()) {
    for (const key of Object.keys(module)) {
      const value: unknown = Reflect.get(module, key);
      if (value instanceof Parameter) names.set(path === '' ? key : `${path}.${key}`, value);
    }
  }
  for (const [name, t] of model.namedParameters()) names.set(name, t);
  return names;
}

/** Runs `loss(model)` and says for every parameter whether a gradient reaches it, and if not, which op at which line lost it. */
export function audit<M extends Module>(model: M, loss: (model: M) => Tensor, options: AuditOptions = {}): AuditReport {
  needModule('audit', model);
  needFunction('audit', 'the loss', loss);
  const named = model.namedParameters();
  const zeros = options.zeros ?? [];
  const run = (): Tensor => loss(model);
  const leftovers = detectLeftovers(named);
  return preserving(model, named, () => {
    const observed = preserving(model, named, () => {
      const seen = observe(model, named, run);
      return { seen, gradients: gradientsOf(named, seen.notes) };
    });
    const { seen, gradients } = observed;
    const { findings: paths, flow, explained } = detectFlow(seen, named);
    let shadow: WideShadow | undefined;
    if (isSuspicious(gradients, flow, zeros))
      shadow = preserving(model, named, () => shadowOf(model, named, run, { backward: true }));
    const sizes = detectSizes(seen, named, flow, gradients, shadow, {
      zeros,
      vanishing: options.vanishing ?? 1e-6,
      exploding: options.exploding ?? 1e6,
    });
    // a cut that explains the parameters explains the loss too
    const vacuous: Finding[] =
      seen.hasHistory || paths.some(({ kind }) => kind === 'severed') ? [] : [constantLoss(named)];
    const training =
      options.steps === undefined || options.steps === 0 || !seen.hasHistory
        ? []
        : detectTraining(model, named, loss, new Set([...explained, ...sizes.structural.keys()]), {
            steps: options.steps,
            optimizer: options.optimizer ?? ((parameters) => new AdamW(parameters, { lr: 1e-3 })),
            lr: options.lr,
          });
    const findings = [
      ...paths,
      ...preserving(model, named, () => detectPartial(model, named, run, seen, flow, gradients.values)),
      ...vacuous,
      ...sizes.findings,
      ...preserving(model, named, () => detectByProbes(model, run, options)),
      ...detectUntied(named, options.tied ?? [], stateNames(model)),
      ...leftovers,
      ...training,
    ];
    return reportOf(named, seen, flow, gradients, sizes.structural, findings);
  });
}

function constantLoss(named: readonly (readonly [string, Tensor])[]): Finding {
  const frozen = named.length > 0 && named.every(([, t]) => !t.requiresGrad);
  const why = frozen
    ? 'every parameter is frozen (requiresGrad is false). Thaw what should be trained: model.requiresGrad_(true)'
    : 'it is a constant to every parameter. Is it computed from the model, outside of noGrad?';
  const message = `vacuous: the loss has no gradient history at all: ${why}`;
  return { kind: 'vacuous', op: undefined, at: undefined, id: undefined, parameters: [], message };
}

function reportOf(
  named: readonly (readonly [string, Tensor])[],
  seen: Observed,
  flow: Flow,
  gradients: ReturnType<typeof gradientsOf>,
  structural: ReadonlyMap<number, string>,
  findings: readonly Finding[],
): AuditReport {
  const kinds = new Map<string, FindingKind>();
  for (const { kind, parameters } of findings) {
    for (const text of parameters) {
      const name = text.replace(/\[\d+:\d+\]$/, '');
      if (!kinds.has(name)) kinds.set(name, kind);
    }
  }
  const parameters = named.map(([name, t], p): ParameterFlow => ({
    name,
    shape: t.shape,
    frozen: !t.requiresGrad,
    norm: gradients.numbers[p]?.norm,
    nonzero: gradients.numbers[p]?.nonzero ?? 0,
    finding: kinds.get(name),
    structuralZero: structural.get(p),
  }));
  const ops = [...new Set(seen.trace.calls.map(({ op }) => op))];
  return {
    ok: findings.length === 0,
    loss: seen.root,
    findings,
    parameters,
    ops,
    graph: graphOf(seen, flow, named),
    assert: () => assertReport(findings),
  };
}
