/**
 * More learning rates as pure functions of the step, and schedules made of schedules. Sources: Loshchilov and Hutter 2017
 * (warm restarts), Smith 2017 (cyclical rates).
 */
import { GradproofError, shown } from '../errors.js';
import { checkOptions, needFunction, needIntegers } from '../ops/options.js';
import { checkNumber } from './group.js';
import { cosineBetween, wholeNumber, type Schedule } from './schedule.js';

function needSchedules(op: string, schedules: unknown): void {
  if (Array.isArray(schedules) && schedules.every((schedule) => typeof schedule === 'function')) return;
  throw new GradproofError('ERR_ARGUMENT', `schedules must be a list of functions, got ${shown(schedules)}`, { op });
}

/** base · (1 − step / total)^power, then 0. */
export function polynomialLr(options: {
  readonly base: number;
  readonly total: number;
  readonly power?: number | undefined;
}): Schedule {
  checkOptions('polynomialLr', options, ['base', 'total', 'power']);
  const base = checkNumber('base', options.base, 0);
  const total = wholeNumber('total', options.total);
  const power = checkNumber('power', options.power ?? 1, 0);
  return (step) => base * (1 - Math.min(step, total) / total) ** power;
}

/** Half a cosine from base to min in `period` steps, then again from base, each time `growth` times as long. */
export function cosineWarmRestartsLr(options: {
  readonly base: number;
  readonly period: number;
  readonly growth?: number | undefined;
  readonly min?: number | undefined;
}): Schedule {
  checkOptions('cosineWarmRestartsLr', options, ['base', 'period', 'growth', 'min']);
  const base = checkNumber('base', options.base, 0);
  const period = wholeNumber('period', options.period);
  const growth = wholeNumber('growth', options.growth ?? 1);
  const min = checkNumber('min', options.min ?? 0, 0);
  return (step) => {
    let [at, length] = [step, period];
    if (growth === 1) at = step % period;
    else for (; at >= length; length *= growth) at -= length;
    return cosineBetween(base, min, at / length);
  };
}

/**
 * Up from base to max in `up` steps and down again in `down` (default: as many), over and over. 'triangular2' halves the
 * height from cycle to cycle, 'exp_range' multiplies it by gamma^step.
 */
export function cyclicLr(options: {
  readonly base: number;
  readonly max: number;
  readonly up?: number | undefined;
  readonly down?: number | undefined;
  readonly mode?: 'triangular' | 'triangular2' | 'exp_range' | undefined;
  readonly gamma?: number | undefined;
}): Schedule {
  checkOptions('cyclicLr', options, ['base', 'max', 'up', 'down', 'mode', 'gamma']);
  const base = checkNumber('base', options.base, 0);
  const max = checkNumber('max', options.max, base);
  const up = wholeNumber('up', options.up ?? 2000);
  const down = wholeNumber('down', options.down ?? up);
  const gamma = checkNumber('gamma', options.gamma ?? 1, 0);
  const mode = options.mode ?? 'triangular';
  return (step) => {
    const cycle = Math.floor(step / (up + down));
    const at = step - cycle * (up + down);
    const height = at <= up ? at / up : 1 - (at - up) / down;
    const scale = mode === 'triangular' ? 1 : mode === 'triangular2' ? 2 ** -cycle : gamma ** step;
    return base + (max - base) * height * scale;
  };
}

/** base · factor(step) */
export function lambdaLr(options: { readonly base: number; readonly factor: (step: number) => number }): Schedule {
  checkOptions('lambdaLr', options, ['base', 'factor']);
  needFunction('lambdaLr', 'factor', options.factor);
  const base = checkNumber('base', options.base, 0);
  return (step) => base * options.factor(step);
}

/** base · factor(1) · … · factor(step) */
export function multiplicativeLr(options: {
  readonly base: number;
  readonly factor: (step: number) => number;
}): Schedule {
  checkOptions('multiplicativeLr', options, ['base', 'factor']);
  needFunction('multiplicativeLr', 'factor', options.factor);
  const rates = [checkNumber('base', options.base, 0)];
  return (step) => {
    for (let i = rates.length; i <= step; i++) rates.push(rates[i - 1]! * options.factor(i));
    return rates[step]!;
  };
}

/** The first schedule up to the first milestone, then the second from its own step 0, … */
export function sequentialLr(options: {
  readonly schedules: readonly Schedule[];
  readonly milestones: readonly number[];
}): Schedule {
  checkOptions('sequentialLr', options, ['schedules', 'milestones']);
  const { schedules, milestones } = options;
  needIntegers('sequentialLr', { milestones });
  needSchedules('sequentialLr', schedules);
  const ascending = milestones.every((at, i) => Number.isSafeInteger(at) && at > (milestones[i - 1] ?? 0));
  if (schedules.length !== milestones.length + 1 || !ascending) {
    throw new GradproofError(
      'ERR_VALUE',
      `milestones must ascend and be one fewer than the ${String(schedules.length)} schedules, got [${milestones.join(', ')}]`,
      { op: 'schedule' },
    );
  }
  return (step) => {
    const passed = milestones.filter((at) => step >= at).length;
    return schedules[passed]!(step - (milestones[passed - 1] ?? 0));
  };
}

/** All schedules at once: base times the product of their factors schedule(step) / base. */
export function chainedLr(options: { readonly base: number; readonly schedules: readonly Schedule[] }): Schedule {
  checkOptions('chainedLr', options, ['base', 'schedules']);
  needSchedules('chainedLr', options.schedules);
  const base = checkNumber('base', options.base, Number.MIN_VALUE);
  return (step) => options.schedules.reduce((rate, schedule) => (rate * schedule(step)) / base, base);
}
