/** What Adam and its relatives share: the options and checks of two running averages. */
import { GradproofError, shown } from '../errors.js';
import { checkNumber } from './group.js';

export interface MomentOptions {
  /** Decay rates of the averages of gradient and squared gradient (Adamax: of its largest magnitude). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number] | undefined;
  /** Keeps the division by the second average finite. Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export type MomentHyper = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly maximize: boolean;
};

export const MOMENT_NAMES = ['params', 'lr', 'betas', 'eps', 'maximize'];

/** Both decay rates, in [0, 1). */
export function checkBetas(betas: readonly [number, number]): Pick<MomentHyper, 'beta1' | 'beta2'> {
  const given: unknown = betas;
  if (!Array.isArray(given) || given.length !== 2)
    throw new GradproofError('ERR_VALUE', `betas must be two numbers, got ${shown(given)}`, { op: 'optimizer' });
  const [beta1, beta2] = betas;
  return { beta1: checkNumber('betas[0]', beta1, 0, 1, true), beta2: checkNumber('betas[1]', beta2, 0, 1, true) };
}

export function checkMoments(options: MomentOptions): MomentHyper {
  return {
    ...checkBetas(options.betas ?? [0.9, 0.999]),
    eps: checkNumber('eps', options.eps ?? 1e-8, 0),
    maximize: options.maximize ?? false,
  };
}
