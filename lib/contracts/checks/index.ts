/** Every check by the name that `check:` gives. */
import { gradients, lossValue, optimizerStep, sequence } from './accounts.js';
import type { Check } from './check.js';
import { gradientFlow } from './flow.js';
import { loading } from './loading.js';
import { mode } from './mode.js';
import { padding } from './padding.js';
import { parity } from './parity.js';
import { capture, trace } from './replay.js';
import { saturation } from './saturation.js';
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
  saturation,
  mode,
  padding,
  loading,
  capture,
  trace,
  parity,
};
