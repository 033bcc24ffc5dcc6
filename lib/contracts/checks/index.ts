/** Every check by the name that `check:` gives. */
import { gradients, lossValue, optimizerStep, sequence } from './accounts.js';
import type { Check } from './check.js';
import { gradientFlow } from './flow.js';
import { determinism, trains } from './training.js';

export type { Check, Context, Verdict } from './check.js';

export const CHECKS: Readonly<Record<string, Check>> = {
  'gradient-flow': gradientFlow,
  gradients,
  loss: lossValue,
  'optimizer-step': optimizerStep,
  sequence,
  trains,
  determinism,
};
