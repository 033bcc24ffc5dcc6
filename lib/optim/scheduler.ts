/** What sets an optimizer's learning rates: a schedule, or a measure that stops improving. */
import { GradproofError } from '../errors.js';
import { checkNumber, type ParamGroup } from './group.js';
import type { Schedule } from './schedule.js';

/** What a scheduler needs of an optimizer. */
export interface Scheduled {
  readonly groups: readonly Pick<ParamGroup<Readonly<Record<string, number | boolean>>>, 'lr' | 'initialLr'>[];
}

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

  loadStateDict({ step }: SchedulerState): void {
    if (!Number.isSafeInteger(step) || step < 0) {
      throw new GradproofError('ERR_STATE_DICT', `step must be an integer >= 0, got ${String(step)}`, {
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

  loadStateDict({ best, bad, cooling, lrs }: PlateauState): void {
    const { groups } = this.#optimizer;
    if (lrs.length !== groups.length || (best !== null && typeof best !== 'number')) {
      throw new GradproofError(
        'ERR_STATE_DICT',
        `the state must have ${String(groups.length)} rates, got ${String(lrs.length)}`,
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
