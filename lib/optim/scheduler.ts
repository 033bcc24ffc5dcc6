/** What sets an optimizer's learning rates: a schedule, or a measure that stops improving. */
import { GradproofError, shown } from '../errors.js';
import { checkOptions, needFunction } from '../ops/options.js';
import { checkNumber, type ParamGroup } from './group.js';
import type { Schedule } from './schedule.js';

/** What a scheduler needs of an optimizer. */
export interface Scheduled {
  readonly groups: readonly Pick<ParamGroup<Readonly<Record<string, number | boolean>>>, 'lr' | 'initialLr'>[];
}

/** What a {@link Scheduler} keeps. */
export interface SchedulerState {
  readonly step: number;
}

/**
 * Sets the rate of `schedule(step)` on all groups; a group made with another rate than the first keeps its ratio to it.
 * The rate of step 0 is set at once; call {@link step} after every update.
 */
export class Scheduler {
  readonly #optimizer: Scheduled;
  readonly #schedule: Schedule;
  #step = 0;

  constructor(optimizer: Scheduled, schedule: Schedule) {
    needGroups('Scheduler', optimizer);
    needFunction('Scheduler', 'the schedule', schedule);
    this.#optimizer = optimizer;
    this.#schedule = schedule;
    this.#apply();
  }

  /** The number of the update whose rate is set. */
  get current(): number {
    return this.#step;
  }

  step(): void {
    this.#step++;
    this.#apply();
  }

  stateDict(): SchedulerState {
    return { step: this.#step };
  }

  loadStateDict(state: SchedulerState): void {
    const { step }: Partial<SchedulerState> = { ...state };
    if (typeof step !== 'number' || !Number.isSafeInteger(step) || step < 0) {
      throw new GradproofError('ERR_STATE_DICT', `step must be an integer >= 0, got ${shown(step)}`, {
        op: 'Scheduler',
      });
    }
    this.#step = step;
    this.#apply();
  }

  #apply(): void {
    const rate = checkNumber('lr', this.#schedule(this.#step), 0);
    const first = this.#optimizer.groups[0]?.initialLr ?? 0;
    for (const group of this.#optimizer.groups) group.lr = first === 0 ? rate : rate * (group.initialLr / first);
  }
}

function needGroups(op: string, optimizer: unknown): void {
  const fits =
    typeof optimizer === 'object' && optimizer !== null && 'groups' in optimizer && Array.isArray(optimizer.groups);
  if (!fits) throw new GradproofError('ERR_ARGUMENT', `an optimizer is needed, got ${shown(optimizer)}`, { op });
}

function oneOf(name: string, value: unknown, ...words: readonly string[]): void {
  if (value === undefined || (typeof value === 'string' && words.includes(value))) return;
  throw new GradproofError('ERR_VALUE', `${name} must be ${words.join(' or ')}, got ${shown(value)}`, {
    op: 'ReduceOnPlateau',
  });
}

function isPlateauState(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'lrs' in value && Array.isArray(value.lrs);
}

const PLATEAU = ['mode', 'factor', 'patience', 'threshold', 'thresholdMode', 'cooldown', 'minLr', 'eps'];

export interface PlateauOptions {
  /** Whether the measure should fall ('min', default) or rise. */
  readonly mode?: 'min' | 'max' | undefined;
  /** Factor on the rate. Default 0.1. */
  readonly factor?: number | undefined;
  /** Bad epochs that are tolerated. Default 10; the rate falls in the next one. */
  readonly patience?: number | undefined;
  /** Only a change beyond this counts. Default 1e-4. */
  readonly threshold?: number | undefined;
  /** 'rel' (default): relative to the best value; 'abs'. */
  readonly thresholdMode?: 'rel' | 'abs' | undefined;
  /** Epochs to wait after a reduction. Default 0. */
  readonly cooldown?: number | undefined;
  /** Default 0. */
  readonly minLr?: number | undefined;
  /** Smaller changes of the rate are not made. Default 1e-8. */
  readonly eps?: number | undefined;
}

/** What a {@link ReduceOnPlateau} keeps. */
export interface PlateauState {
  /** null before the first epoch. */
  readonly best: number | null;
  readonly bad: number;
  readonly cooling: number;
  readonly lrs: readonly number[];
}

/** Reduces the rate when a measure has stopped improving; as torch.optim.lr_scheduler.ReduceLROnPlateau. */
export class ReduceOnPlateau {
  readonly #optimizer: Scheduled;
  readonly #options: Required<{ [K in keyof PlateauOptions]: NonNullable<PlateauOptions[K]> }>;
  #best: number | null = null;
  #bad = 0;
  #cooling = 0;

  constructor(optimizer: Scheduled, options: PlateauOptions = {}) {
    needGroups('ReduceOnPlateau', optimizer);
    checkOptions('ReduceOnPlateau', options, PLATEAU);
    oneOf('mode', options.mode, 'min', 'max');
    oneOf('thresholdMode', options.thresholdMode, 'rel', 'abs');
    this.#optimizer = optimizer;
    this.#options = {
      mode: options.mode ?? 'min',
      factor: checkNumber('factor', options.factor ?? 0.1, 0, 1, true),
      patience: checkNumber('patience', options.patience ?? 10, 0),
      threshold: checkNumber('threshold', options.threshold ?? 1e-4, 0),
      thresholdMode: options.thresholdMode ?? 'rel',
      cooldown: checkNumber('cooldown', options.cooldown ?? 0, 0),
      minLr: checkNumber('minLr', options.minLr ?? 0, 0),
      eps: checkNumber('eps', options.eps ?? 1e-8, 0),
    };
  }

  /** One epoch with this measure. True where the rate was reduced. A measure that is not a number is a bad epoch. */
  step(measure: number): boolean {
    const given: unknown = measure;
    if (typeof given !== 'number') {
      throw new GradproofError('ERR_ARGUMENT', `the measure must be a number, got ${shown(given)}`, {
        op: 'ReduceOnPlateau',
        hint: 'Pass loss.item().',
      });
    }
    if (this.#better(measure)) {
      this.#best = measure;
      this.#bad = 0;
    } else this.#bad++;
    if (this.#cooling > 0) {
      this.#cooling--;
      this.#bad = 0;
    }
    if (this.#bad <= this.#options.patience) return false;
    this.#cooling = this.#options.cooldown;
    this.#bad = 0;
    return this.#reduce();
  }

  #better(measure: number): boolean {
    if (Number.isNaN(measure)) return false;
    const best = this.#best;
    if (best === null) return true;
    const { mode, threshold, thresholdMode } = this.#options;
    const margin = thresholdMode === 'rel' ? threshold * Math.abs(best) : threshold;
    return mode === 'min' ? measure < best - margin : measure > best + margin;
  }

  #reduce(): boolean {
    const { factor, minLr, eps } = this.#options;
    let changed = false;
    for (const group of this.#optimizer.groups) {
      const next = Math.max(group.lr * factor, minLr);
      if (group.lr - next <= eps) continue;
      group.lr = next;
      changed = true;
    }
    return changed;
  }

  stateDict(): PlateauState {
    const lrs = this.#optimizer.groups.map(({ lr }) => lr);
    return { best: this.#best, bad: this.#bad, cooling: this.#cooling, lrs };
  }

  loadStateDict(state: PlateauState): void {
    const { groups } = this.#optimizer;
    if (!isPlateauState(state)) {
      throw new GradproofError('ERR_STATE_DICT', `the state must be { best, bad, cooling, lrs }, got ${shown(state)}`, {
        op: 'ReduceOnPlateau',
      });
    }
    const { best, bad, cooling, lrs } = state;
    if (lrs.length !== groups.length || (best !== null && typeof best !== 'number')) {
      throw new GradproofError(
        'ERR_STATE_DICT',
        `the state must have ${String(groups.length)} rates, got ${shown(lrs.length)}`,
        {
          op: 'ReduceOnPlateau',
        },
      );
    }
    for (const value of [bad, cooling, ...lrs]) checkNumber('state', value, 0);
    this.#best = best;
    this.#bad = bad;
    this.#cooling = cooling;
    groups.forEach((group, i) => (group.lr = lrs[i]!));
  }
}
