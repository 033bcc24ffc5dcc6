/** Values of a {@link CausalLM} from files and for files: names, transposed matrices, one tensor at a time. */
import { noGrad } from '../autograd/modes.js';
import type { ModelWeights } from '../io/model_folder.js';
import { compatible, misfit } from '../nn/state_dict.js';
import { GradproofError } from '../errors.js';
import { bindingChanged } from '../tensor/binding.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Family } from './decoder.js';

type Dict = Readonly<Record<string, Tensor>>;

interface Source {
  /** Its name in the files. */
  readonly name: string;
  readonly target: Tensor;
  readonly transposed: boolean;
}

/** Which value goes where; ERR_STATE_DICT for whatever does not fit, from the headers alone. */
function match(dict: Dict, weights: ModelWeights, family: Family): Source[] {
  const sources = new Map<string, Source>();
  const unexpected: string[] = [];
  const mismatched: string[] = [];
  for (const name of weights.names) {
    // Files of the bare decoder lack its prefix.
    const full = /^lm_head\./.test(name) || name.startsWith(`${family.prefix}.`) ? name : `${family.prefix}.${name}`;
    if (family.ignored(full)) continue;
    const target = Object.hasOwn(dict, full) ? dict[full] : undefined;
    if (target === undefined || sources.has(full)) {
      unexpected.push(name);
      continue;
    }
    const transposed = family.transposed(full);
    const { shape, dtype } = weights.entry(name);
    const wanted = transposed ? target.shape.toReversed() : target.shape;
    if (!compatible({ shape: wanted, dtype: target.dtype }, { shape, dtype }))
      mismatched.push(`${name} (${dtype}${showShape(shape)} for ${target.dtype}${showShape(wanted)})`);
    sources.set(full, { name, target, transposed });
  }
  const found = new Set([...sources.values()].map(({ target }) => target.storage));
  const missing = Object.entries(dict).flatMap(([name, { storage }]) => (found.has(storage) ? [] : [name]));
  if (missing.length + unexpected.length + mismatched.length > 0)
    throw misfit('CausalLM.fromPretrained', { missing, unexpected, mismatched });
  return [...sources.values()];
}

/** Writes every value into its parameter; one is in memory besides the model. A tied head may be stored too, with equal values. */
export async function loadWeights(dict: Dict, weights: ModelWeights, family: Family): Promise<void> {
  const written = new Map<Tensor['storage'], string>();
  for (const { name, target, transposed } of match(dict, weights, family)) {
    const stored = await weights.tensor(name, target.device);
    const value = stored.to(target.dtype);
    const twin = written.get(target.storage);
    if (twin === undefined) noGrad(() => target.copy_(transposed ? value.t() : value));
    else if (target.ne(value).any().item() !== 0)
      throw new GradproofError('ERR_STATE_DICT', `'${name}' and '${twin}' are tied, but have different values`, {
        op: 'CausalLM.fromPretrained',
        hint: 'Set tie_word_embeddings to false in config.json if the head has a weight of its own.',
        details: { mismatched: [name] },
      });
    written.set(target.storage, name);
    value.dispose();
    stored.dispose();
  }
  bindingChanged();
}

/** The values as files hold them: a tied head is left out, as transformers leaves it out. */
export function weightsToSave(dict: Dict, family: Family): Record<string, Tensor> {
  const seen = new Set<Tensor['storage']>();
  const kept: [string, Tensor][] = [];
  for (const [name, tensor] of Object.entries(dict)) {
    if (seen.has(tensor.storage)) continue;
    seen.add(tensor.storage);
    kept.push([name, family.transposed(name) ? tensor.t() : tensor]);
  }
  return Object.fromEntries(kept);
}
