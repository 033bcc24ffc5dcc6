/** Which parameters of the encoder freeze when an edge is severed: acceptance case 4. */
import type { Edge } from './encoder.js';

const n1 = ['norm1.b', 'norm1.g'];
const qk = ['k.w', 'q.b', 'q.w'];
const qkv = [...qk, 'v.b', 'v.w'];
const attention = [...qkv, ...n1];
const out = ['out.b', 'out.w'];
const n2 = ['norm2.b', 'norm2.g'];
const lin1 = ['linear1.b', 'linear1.w'];
/** Beyond k.b, the parameters that must freeze when an edge is severed. */
export const FROZEN: Readonly<Record<Edge, readonly string[]>> = {
  embed: ['embedding'],
  norm1: n1,
  q_split: ['q.b', 'q.w'],
  k_split: ['k.w'],
  k_transpose: ['k.w'],
  v_split: ['v.b', 'v.w'],
  scores: qk,
  softmax: qk,
  attn_v: attention,
  merge: attention,
  attn_out: [...attention, ...out],
  res1: [...attention, ...out, 'embedding'],
  norm2: n2,
  linear1: [...lin1, ...n2],
  gelu: [...lin1, ...n2],
  linear2: [...lin1, ...n2, 'linear2.b', 'linear2.w'],
  res2: [...attention, ...out, 'embedding', ...lin1, ...n2, 'linear2.b', 'linear2.w'],
};
