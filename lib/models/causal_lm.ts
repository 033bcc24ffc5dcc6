/**
 * Language models from Hugging Face's folders, and back: Llama, Mistral, Qwen2 and GPT-2, with the names, shapes, defaults and
 * numbers of transformers. What a config asks for and is not supported is refused, never computed differently.
 */
import { noGrad } from '../autograd/modes.js';
import { GradproofError, shown } from '../errors.js';
import { isRecord } from '../json.js';
import {
  ModelWeights,
  parseJson,
  readCompanions,
  readConfig,
  writeModelFolder,
  type Companions,
} from '../io/model_folder.js';
import * as nn from '../nn/index.js';
import { withoutInit } from '../nn/init_write.js';
import { full } from '../ops/create.js';
import { cat } from '../ops/join.js';
import { checkOptions, needTensors, needText } from '../ops/options.js';
import { bindingChanged } from '../tensor/binding.js';
import { isFloat } from '../tensor/dtype.js';
import { sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Decoder, Family, Place } from './decoder.js';
import { generateWith, type GenerateOptions, type Prompt, type Writing } from './generate.js';
import { GPT2_FAMILY } from './gpt2.js';
import { tokenLoss } from './gpt.js';
import { KVCache } from './kv_cache.js';
import { LLAMA_FAMILIES } from './llama.js';
import { loadWeights, weightsToSave } from './weights.js';
import {
  configDType,
  Fields,
  modelType,
  refuseForeign,
  tokenIds,
  withDType,
  type ModelConfig,
} from './model_config.js';

const FAMILIES = { ...LLAMA_FAMILIES, gpt2: GPT2_FAMILY };

/** Where a {@link CausalLM} is made. */
export interface CausalLMOptions {
  /** Default: what the config says, else what the files hold, else f32. */
  readonly dtype?: Place['dtype'];
  readonly device?: Place['device'];
}

/** What `forward` takes beside the tokens. */
export interface CausalLMInputs {
  /** [B, T] of 0 and 1: tokens with 0 are padding, which nobody sees. It leaves positions as they are. */
  readonly attentionMask?: Tensor | undefined;
  /** [B, T]: the tokens themselves; those to be predicted stand one place on. -100 does not count. */
  readonly labels?: Tensor | undefined;
}

/** Logits [B, T, vocab], and the mean cross-entropy in nats where there are labels. */
export interface CausalLMOutput<L extends Tensor | undefined = Tensor | undefined> {
  readonly logits: Tensor;
  readonly loss: L;
}

/**
 * A decoder with a head over its vocabulary. State-dict names are those of transformers; GPT-2's four transposed matrices of
 * every block are [out, in] in memory.
 */
export class CausalLM extends nn.Module {
  /** Set after the decoder, whose names come first: a field would stand before it. */
  declare readonly lm_head: nn.LinearLayer;
  readonly #config: ModelConfig;
  readonly #family: Family;
  readonly #decoder: Decoder;
  readonly #names: string;
  readonly #writing: Writing = { kept: undefined };
  #companions: Companions = new Map();
  #ends: readonly number[];

  /** Parameters without initial values: see {@link CausalLM.fromConfig} and {@link CausalLM.fromPretrained}. */
  private constructor(config: ModelConfig, place: Place) {
    super();
    const fields = new Fields(config);
    refuseForeign(fields);
    this.#config = config;
    this.#family = FAMILIES[modelType(config, FAMILIES)];
    this.#ends = tokenIds(config, 'eos_token_id') ?? [];
    const { prefix, tied } = this.#family;
    const shared = fields.flag('tie_word_embeddings', tied);
    const { decoder, head } = withoutInit(() => {
      const made = this.#family.make(config, place);
      const { numEmbeddings, embeddingDim } = made.tokens;
      return { decoder: made, head: new nn.Linear(embeddingDim, numEmbeddings, { bias: false, ...place }) };
    });
    if (shared) head.weight = decoder.tokens.weight;
    this.#decoder = decoder;
    // The names of properties are the beginnings of the parameters' names.
    Object.assign(this, { [prefix]: decoder, lm_head: head });
    this.#names = Object.keys(this.stateDict()).join();
  }

  /** A fresh model of a config.json's content (`{ model_type: 'llama', hidden_size: … }`), with transformers' initial values. */
  static fromConfig(config: ModelConfig, options: CausalLMOptions = {}): CausalLM {
    if (!isRecord(config))
      throw new GradproofError('ERR_ARGUMENT', `a config.json's content is needed, got ${shown(config)}`, {
        op: 'CausalLM.fromConfig',
      });
    checkOptions('CausalLM.fromConfig', options, ['dtype', 'device']);
    const model = new CausalLM(config, { dtype: options.dtype ?? configDType(config), device: options.device });
    model.resetParameters();
    return model;
  }

  /**
   * Reads a folder: config.json, model.safetensors or its shards, and the tokenizer's files, which
   * {@link CausalLM.savePretrained} passes on. Every parameter must be there with its shape, and nothing else: ERR_STATE_DICT
   * lists what is missing, unexpected and mismatched. ERR_VALUE names a config field that is not supported, ERR_FILE and
   * ERR_FORMAT the file that is not right. The model is in evaluation mode, as transformers returns it.
   */
  static async fromPretrained(folder: string, options: CausalLMOptions = {}): Promise<CausalLM> {
    needText('CausalLM.fromPretrained', 'the folder', folder);
    checkOptions('CausalLM.fromPretrained', options, ['dtype', 'device']);
    const config = await readConfig(folder);
    const weights = await ModelWeights.open(folder);
    try {
      const stored = weights.names.map((name) => weights.entry(name).dtype).find(isFloat);
      const dtype = options.dtype ?? configDType(config) ?? stored;
      const model = new CausalLM(config, { dtype, device: options.device });
      await loadWeights(model.stateDict(), weights, model.#family);
      model.#companions = await readCompanions(folder);
      const generation = model.#companions.get('generation_config.json');
      if (generation !== undefined)
        model.#ends = tokenIds(parseJson(generation, 'generation_config.json'), 'eos_token_id') ?? model.#ends;
      return model.eval();
    } finally {
      await weights.close();
    }
  }

  /** The config.json's content, as it was given. */
  get config(): ModelConfig {
    return this.#config;
  }

  /** Tokens [B, T] → what the head reads, [B, T, width]: `model` of Llama, `transformer` of GPT-2. */
  get decoder(): Decoder {
    return this.#decoder;
  }

  /** Tokens that end a text: those of generation_config.json, else of the config. */
  get eosTokenIds(): readonly number[] {
    return this.#ends;
  }

  /** N(0, initializer_range), GPT-2's projections back into the residual stream smaller; biases 0, norms 1. */
  resetParameters(): void {
    for (const [name, parameter] of this.namedParameters()) {
      if (name.endsWith('.bias')) nn.init.zeros_(parameter);
      else if (parameter.ndim > 1) nn.init.normal_(parameter, 0, this.#decoder.deviation(name));
      else nn.init.ones_(parameter);
    }
    const { weight, paddingIdx } = this.#decoder.tokens;
    if (paddingIdx !== undefined) noGrad(() => weight.select(0, paddingIdx).fill_(0));
    bindingChanged();
  }

  /**
   * Tokens [B, T] (any integer dtype) → logits [B, T, vocab] and, with labels, the loss of predicting each token from those
   * before it. Positions count from the left, padding included, as in transformers' `forward`.
   */
  override forward(ids: Tensor, inputs: CausalLMInputs & { readonly labels: Tensor }): CausalLMOutput<Tensor>;
  override forward(ids: Tensor, inputs?: CausalLMInputs): CausalLMOutput;
  override forward(ids: Tensor, inputs: CausalLMInputs = {}): CausalLMOutput {
    needTensors('CausalLM', { ids });
    checkOptions('CausalLM', inputs, ['attentionMask', 'labels']);
    const { attentionMask, labels } = inputs;
    const [, t = 0] = ids.shape;
    const { learned, block } = this.#decoder;
    if (ids.ndim !== 2 || (learned && t > block)) {
      const limit = learned ? ` with T <= ${String(block)} (positions)` : '';
      throw new GradproofError('ERR_SHAPE', `tokens must be [B, T]${limit}, got ${showShape(ids.shape)}`, {
        op: 'CausalLM',
      });
    }
    for (const [name, given] of Object.entries({ attentionMask, labels })) {
      if (given === undefined) continue;
      needTensors('CausalLM', { [name]: given });
      if (!sameShape(given.shape, ids.shape))
        throw new GradproofError(
          'ERR_SHAPE',
          `${name} must have the shape of the tokens, ${showShape(ids.shape)}, got ${showShape(given.shape)}`,
          { op: 'CausalLM' },
        );
    }
    const padding = attentionMask?.ne(0).unsqueeze(1).unsqueeze(1); // [B, 1, 1, T]
    const logits = this.lm_head.forward(this.#decoder.forward(ids, { padding }));
    return { logits, loss: labels === undefined ? undefined : shiftedLoss(logits, labels) };
  }

  #lastLogits(ids: Tensor, cache: KVCache | undefined): Tensor {
    const x = this.#decoder.forward(ids, { cache });
    return this.lm_head.forward(x.narrow(1, x.shape[1]! - 1, 1));
  }

  /**
   * Continues one sequence token by token; see {@link GenerateOptions}. Ends behind a token of {@link CausalLM.eosTokenIds} unless
   * `stop` says otherwise (`[]`: never). Of more tokens than max_position_embeddings it sees the last ones.
   */
  generate(prompt: Prompt, options: GenerateOptions): number[] {
    const { block, cached, tokens } = this.#decoder;
    const { dtype, device } = tokens.weight;
    const face = {
      block,
      device,
      logits: (ids: Tensor, cache: KVCache | undefined) => this.#lastLogits(ids, cache),
      newCache: (capacity: number) =>
        new KVCache({ ...cached, batch: 1, capacity: Math.min(capacity, block), dtype, device }),
      stop: this.#ends,
    };
    return generateWith(this, face, this.#writing, prompt, options);
  }

  /**
   * Writes config.json, model.safetensors and the tokenizer's files that were read, for transformers and
   * {@link CausalLM.fromPretrained}. Other files of the folder stay. Each file appears complete or not at all.
   */
  async savePretrained(folder: string): Promise<void> {
    needText('savePretrained', 'the folder', folder);
    const dict = this.stateDict();
    if (Object.keys(dict).join() !== this.#names)
      throw new GradproofError('ERR_STATE_DICT', 'the model has other parameters than its config says', {
        op: 'savePretrained',
        hint: 'Modules were replaced: save its state with gp.io.saveSafetensors.',
      });
    const config = withDType(
      { architectures: [this.#family.architecture], ...this.#config },
      this.#decoder.tokens.weight.dtype,
    );
    await writeModelFolder(folder, config, weightsToSave(dict, this.#family), this.#companions);
  }
}

/** Place t predicts the label of place t + 1. The labels are moved, not the logits, which would be copied. */
function shiftedLoss(logits: Tensor, labels: Tensor): Tensor {
  const [b, t] = labels.dims(2);
  const wide = labels.to('i64');
  const none = full([b, 1], -100, { dtype: 'i64', device: labels.device });
  const next = t === 0 ? wide : cat([wide.narrow(1, 1, t - 1), none], 1);
  const { dtype } = logits;
  return tokenLoss(dtype === 'f16' || dtype === 'bf16' ? logits.to('f32') : logits, next);
}
