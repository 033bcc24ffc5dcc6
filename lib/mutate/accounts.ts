/**
 * What one step of an optimizer should do, in f64 and in plain JavaScript, from the papers: Duchi et al. 2011 (Adagrad), Zeiler
 * 2012 (Adadelta), Kingma and Ba 2015 (Adamax), Dozat 2016 (NAdam), Liu et al. 2020 (RAdam), Chen et al. 2023 (Lion).
 */
import { Adadelta, Adagrad, Adamax, Lion, NAdam, RAdam, type Optimizer } from '../optim/index.js';

/** Of one element: its value, its (decayed, signed) gradient, and two numbers that are kept from step to step. */
export interface Element {
  p: number;
  g: number;
  m: number;
  v: number;
}

export interface Step {
  readonly lr: number;
  /** From 1. */
  readonly t: number;
  readonly hyper: (name: string) => number;
}

type Account = (e: Element, step: Step) => void;

const adagrad: Account = (e, { lr, t, hyper }) => {
  e.v += e.g * e.g;
  e.p -= ((lr / (1 + (t - 1) * hyper('lrDecay'))) * e.g) / (Math.sqrt(e.v) + hyper('eps'));
};

const adadelta: Account = (e, { lr, hyper }) => {
  const [rho, eps] = [hyper('rho'), hyper('eps')];
  e.v = rho * e.v + (1 - rho) * e.g * e.g;
  const d = (e.g * Math.sqrt(e.m + eps)) / Math.sqrt(e.v + eps);
  e.m = rho * e.m + (1 - rho) * d * d;
  e.p -= lr * d;
};

const adamax: Account = (e, { lr, t, hyper }) => {
  const beta1 = hyper('beta1');
  e.m = beta1 * e.m + (1 - beta1) * e.g;
  e.v = Math.max(hyper('beta2') * e.v, Math.abs(e.g) + hyper('eps'));
  e.p -= ((lr / (1 - beta1 ** t)) * e.m) / e.v;
};

function moments(e: Element, { hyper }: Step): void {
  const [beta1, beta2] = [hyper('beta1'), hyper('beta2')];
  e.m = beta1 * e.m + (1 - beta1) * e.g;
  e.v = beta2 * e.v + (1 - beta2) * e.g * e.g;
}

const nadam: Account = (e, step) => {
  const { lr, t, hyper } = step;
  moments(e, step);
  const mu = (n: number): number => hyper('beta1') * (1 - 0.5 * 0.96 ** (n * hyper('momentumDecay')));
  let product = 1;
  for (let n = 1; n <= t; n++) product *= mu(n);
  const d = Math.sqrt(e.v / (1 - hyper('beta2') ** t)) + hyper('eps');
  e.p -= ((lr * (1 - mu(t))) / (1 - product)) * (e.g / d);
  e.p -= ((lr * mu(t + 1)) / (1 - product * mu(t + 1))) * (e.m / d);
};

const radam: Account = (e, step) => {
  const { lr, t, hyper } = step;
  moments(e, step);
  const [beta1, beta2] = [hyper('beta1'), hyper('beta2')];
  const top = 2 / (1 - beta2) - 1;
  const second = 1 - beta2 ** t;
  const rho = top - (2 * t * beta2 ** t) / second;
  const r = Math.sqrt(((rho - 4) * (rho - 2) * top) / ((top - 4) * (top - 2) * rho));
  const adapt = rho > 5 ? (r * Math.sqrt(second)) / (Math.sqrt(e.v) + hyper('eps')) : 1;
  e.p -= (lr / (1 - beta1 ** t)) * e.m * adapt;
};

const lion: Account = (e, { lr, hyper }) => {
  const [beta1, beta2] = [hyper('beta1'), hyper('beta2')];
  e.p -= lr * Math.sign(beta1 * e.m + (1 - beta1) * e.g);
  e.m = beta2 * e.m + (1 - beta2) * e.g;
};

/** The account of an optimizer and the op that it steps with, where its weight decay is no matter of its own. */
export function accountOf(
  opt: Optimizer,
): { readonly op: string; readonly step: Account; readonly decoupled: boolean } | undefined {
  if (opt instanceof Adagrad) return { op: 'adagrad_step', step: adagrad, decoupled: false };
  if (opt instanceof Adadelta) return { op: 'adadelta_step', step: adadelta, decoupled: false };
  if (opt instanceof Adamax) return { op: 'adamax_step', step: adamax, decoupled: false };
  if (opt instanceof NAdam) return { op: 'nadam_step', step: nadam, decoupled: false };
  if (opt instanceof RAdam) return { op: 'radam_step', step: radam, decoupled: false };
  return opt instanceof Lion ? { op: 'lion_step', step: lion, decoupled: true } : undefined;
}
