/**
 * Learning rates as pure functions of the step: `schedule(step)` is the rate of update number `step`, counted from 0.
 * Sources: Loshchilov and Hutter 2017 (cosine), Smith and Topin 2018 (one-cycle).
 */
import { GradproofError, shown } from '../errors.js';
import { checkOptions, needIntegers } from '../ops/options.js';
import { checkNumber } from './group.js';

export type Schedule = (step: number) => number;

/** An integer >= least, or ERR_VALUE. */
export function wholeNumber(name: string, value: number, least = 1): number {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new GradproofError('ERR_VALUE', `${name} must be an integer >= ${String(least)}, got ${shown(value)}`, {
      op: 'schedule',
    });
  }
  return value;
}

/** Half a cosine from `from` to `to` as `share` goes from 0 to 1. */
export function cosineBetween(from: number, to: number, share: number): number {
  return to + (from - to) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, Math.max(0, share))));
}

/** base · factor in the first `total` steps, then base. Without them always `base`. */
export function constantLr(options: {
  readonly base: number;
  readonly factor?: number | undefined;
  readonly total?: number | undefined;
}): Schedule {
  checkOptions('constantLr', options, ['base', 'factor', 'total']);
  const base = checkNumber('base', options.base, 0);
  const factor = checkNumber('factor', options.factor ?? 1, 0);
  const total = wholeNumber('total', options.total ?? 0, 0);
  return (step) => (step < total ? base * factor : base);
}

/** base · gamma^⌊step / size⌋ */
export function stepLr(options: {
  readonly base: number;
  readonly size: number;
  readonly gamma?: number | undefined;
}): Schedule {
  checkOptions('stepLr', options, ['base', 'size', 'gamma']);
  const base = checkNumber('base', options.base, 0);
  const size = wholeNumber('size', options.size);
  const gamma = checkNumber('gamma', options.gamma ?? 0.1, 0);
  return (step) => base * gamma ** Math.floor(step / size);
}

/** base · gamma^(number of milestones reached) */
export function multiStepLr(options: {
  readonly base: number;
  readonly milestones: readonly number[];
  readonly gamma?: number | undefined;
}): Schedule {
  checkOptions('multiStepLr', options, ['base', 'milestones', 'gamma']);
  const base = checkNumber('base', options.base, 0);
  const gamma = checkNumber('gamma', options.gamma ?? 0.1, 0);
  needIntegers('multiStepLr', { milestones: options.milestones });
  const milestones = options.milestones.map((milestone) => wholeNumber('milestones', milestone, 0));
  return (step) => base * gamma ** milestones.filter((milestone) => step >= milestone).length;
}

/** base · gamma^step */
export function exponentialLr(options: { readonly base: number; readonly gamma: number }): Schedule {
  checkOptions('exponentialLr', options, ['base', 'gamma']);
  const base = checkNumber('base', options.base, 0);
  const gamma = checkNumber('gamma', options.gamma, 0);
  return (step) => base * gamma ** step;
}

/** A straight line from base · startFactor to base · endFactor in `total` steps, then constant. */
export function linearLr(options: {
  readonly base: number;
  readonly total: number;
  readonly startFactor?: number | undefined;
  readonly endFactor?: number | undefined;
}): Schedule {
  checkOptions('linearLr', options, ['base', 'total', 'startFactor', 'endFactor']);
  const base = checkNumber('base', options.base, 0);
  const total = wholeNumber('total', options.total);
  const start = checkNumber('startFactor', options.startFactor ?? 1 / 3, 0);
  const end = checkNumber('endFactor', options.endFactor ?? 1, 0);
  return (step) => base * (start + (end - start) * Math.min(1, step / total));
}

/** Half a cosine from base to min in `total` steps, then min. */
export function cosineLr(options: {
  readonly base: number;
  readonly total: number;
  readonly min?: number | undefined;
}): Schedule {
  checkOptions('cosineLr', options, ['base', 'total', 'min']);
  const base = checkNumber('base', options.base, 0);
  const total = wholeNumber('total', options.total);
  const min = checkNumber('min', options.min ?? 0, 0);
  return (step) => cosineBetween(base, min, step / total);
}

/** base · (step + 1) / warmup for `warmup` steps, then half a cosine to min at step `total`, then min. */
export function warmupCosineLr(options: {
  readonly base: number;
  readonly warmup: number;
  readonly total: number;
  readonly min?: number | undefined;
}): Schedule {
  checkOptions('warmupCosineLr', options, ['base', 'warmup', 'total', 'min']);
  const base = checkNumber('base', options.base, 0);
  const warmup = wholeNumber('warmup', options.warmup, 0);
  const total = wholeNumber('total', options.total);
  const min = checkNumber('min', options.min ?? 0, 0);
  if (warmup >= total) {
    throw new GradproofError(
      'ERR_VALUE',
      `warmup must be shorter than total, got ${shown(warmup)} and ${shown(total)}`,
      {
        op: 'schedule',
      },
    );
  }
  return (step) =>
    step < warmup ? (base * (step + 1)) / warmup : cosineBetween(base, min, (step - warmup) / (total - warmup));
}

/** As {@link warmupCosineLr}, with a straight line down to min. */
export function warmupLinearLr(options: {
  readonly base: number;
  readonly warmup: number;
  readonly total: number;
  readonly min?: number | undefined;
}): Schedule {
  checkOptions('warmupLinearLr', options, ['base', 'warmup', 'total', 'min']);
  const base = checkNumber('base', options.base, 0);
  const warmup = wholeNumber('warmup', options.warmup, 0);
  const total = wholeNumber('total', options.total, warmup + 1);
  const min = checkNumber('min', options.min ?? 0, 0);
  return (step) =>
    step < warmup
      ? (base * (step + 1)) / warmup
      : base + (min - base) * Math.min(1, (step - warmup) / (total - warmup));
}

/** Cosine up from max / divFactor to max in the first `pctStart` of `total` steps, then down to that / finalDivFactor. */
export function oneCycleLr(options: {
  readonly max: number;
  readonly total: number;
  readonly pctStart?: number | undefined;
  readonly divFactor?: number | undefined;
  readonly finalDivFactor?: number | undefined;
}): Schedule {
  checkOptions('oneCycleLr', options, ['max', 'total', 'pctStart', 'divFactor', 'finalDivFactor']);
  const max = checkNumber('max', options.max, 0);
  const total = wholeNumber('total', options.total);
  const pct = checkNumber('pctStart', options.pctStart ?? 0.3, 0, 1);
  const start = max / checkNumber('divFactor', options.divFactor ?? 25, Number.MIN_VALUE);
  const end = start / checkNumber('finalDivFactor', options.finalDivFactor ?? 1e4, Number.MIN_VALUE);
  const top = pct * total - 1; // PyTorch's phases end at these steps
  const last = total - 1;
  return (step) =>
    step <= top
      ? cosineBetween(start, max, top <= 0 ? 1 : step / top)
      : cosineBetween(max, end, (step - top) / (last - top));
}
