/** CausalLM without files: configs, arguments, fresh models, generation. */
import { beforeEach, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { CausalLM, tokens } from './causal_harness.js';

const llama = {
  model_type: 'llama',
  vocab_size: 24,
  hidden_size: 16,
  intermediate_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 16,
};
const gpt2 = { model_type: 'gpt2', vocab_size: 24, n_positions: 16, n_embd: 16, n_layer: 2, n_head: 4 };
const ids = tokens([[7, 1, 19, 4], [16, 8, 5, 13]]); // prettier-ignore

beforeEach(() => gp.manualSeed(7));

/** The field that a config is refused for. */
function refused(config: Record<string, unknown>): unknown {
  try {
    CausalLM.fromConfig(config);
  } catch (error) {
    return gp.isError(error, 'ERR_VALUE') ? error.details['field'] : error;
  }
  return undefined;
}

describe('a config', () => {
  it.each<[string, Record<string, unknown>]>([
    ['model_type', { model_type: 'mamba' }],
    ['hidden_size', { hidden_size: undefined }],
    ['hidden_size', { hidden_size: 18 }],
    ['num_key_value_heads', { num_key_value_heads: 3 }],
    ['head_dim', { head_dim: 5 }],
    ['hidden_act', { hidden_act: 'xielu' }],
    ['rms_norm_eps', { rms_norm_eps: '1e-5' }],
    ['attention_bias', { attention_bias: 1 }],
    ['attention_dropout', { attention_dropout: 1 }],
    ['quantization_config', { quantization_config: { quant_method: 'gptq' } }],
    ['is_causal', { is_causal: false }],
    ['partial_rotary_factor', { partial_rotary_factor: 0.5 }],
    ['layer_types', { layer_types: ['full_attention', 'sliding_attention'] }],
    ['pad_token_id', { pad_token_id: 24 }],
    ['eos_token_id', { eos_token_id: 'x' }],
    ['torch_dtype', { torch_dtype: 'float8' }],
    ['rope_scaling.rope_type', { rope_scaling: { rope_type: 'yarn', factor: 2 } }],
    ['rope_scaling.type', { rope_scaling: { type: 'dynamic', factor: 2 } }],
    ['rope_scaling.factor', { rope_scaling: { rope_type: 'linear' } }],
    ['rope_parameters.rope_theta', { rope_parameters: { rope_theta: -1 } }],
    ['rope_parameters.partial_rotary_factor', { rope_parameters: { partial_rotary_factor: 0.25 } }],
  ])('of a Llama is refused for its %s: %o', (field, change) => {
    expect(refused(llama)).toBeUndefined();
    expect(refused({ ...llama, ...change })).toBe(field);
  });

  it.each<[string, Record<string, unknown>]>([
    ['n_embd', { n_embd: 18 }],
    ['activation_function', { activation_function: 'tanhshrink' }],
    ['scale_attn_weights', { scale_attn_weights: false }],
    ['scale_attn_by_inverse_layer_idx', { scale_attn_by_inverse_layer_idx: true }],
    ['add_cross_attention', { add_cross_attention: true }],
  ])('of a GPT-2 is refused for its %s', (field, change) => {
    expect(refused(gpt2)).toBeUndefined();
    expect(refused({ ...gpt2, ...change })).toBe(field);
  });

  it('may hold what transformers does not read either', () => {
    expect(refused({ ...llama, my_notes: 'x', use_cache: false, rope_scaling: null })).toBeUndefined();
  });

  it("means transformers' defaults where it says nothing", () => {
    const write = (config: Record<string, unknown>): unknown => {
      gp.manualSeed(3);
      return CausalLM.fromConfig({ initializer_range: 0.5, ...config })
        .eval()
        .forward(ids)
        .logits.toArray();
    };
    const said = { rope_theta: 10000, rms_norm_eps: 1e-6, hidden_act: 'silu', head_dim: 4, tie_word_embeddings: false };
    const { num_key_value_heads: _two, ...heads } = llama;
    expect(write({ ...heads, ...said, num_key_value_heads: 4 })).toEqual(write(heads));
    const spoken = {
      activation_function: 'gelu_new',
      layer_norm_epsilon: 1e-5,
      n_inner: 64,
      tie_word_embeddings: true,
    };
    expect(write({ ...gpt2, ...spoken })).toEqual(write(gpt2));
    for (const [field, other] of Object.entries({ activation_function: 'gelu', layer_norm_epsilon: 1e-2 }))
      expect(write({ ...gpt2, [field]: other })).not.toEqual(write(gpt2));
  });

  it("gives a Mistral without a word about it transformers' window, and none for null", () => {
    const write = (change: Record<string, unknown>): unknown => {
      gp.manualSeed(3);
      const model = CausalLM.fromConfig({ ...llama, model_type: 'mistral', initializer_range: 0.5, ...change }).eval();
      return model.forward(ids).logits.toArray();
    };
    const all = write({ sliding_window: 1000 });
    expect([write({}), write({ sliding_window: null })]).toEqual([all, all]);
    expect(write({ sliding_window: 2 })).not.toEqual(all);
  });
});

describe('a fresh model', () => {
  it("has transformers' initial values", () => {
    const spread = (model: gp.models.CausalLM, name: string): number => {
      const values = model.stateDict()[name]!.data('f64');
      return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
    };
    const big = CausalLM.fromConfig({ ...llama, hidden_size: 128, initializer_range: 0.05, pad_token_id: 2 });
    // 4,096 values and more: 5 % is four standard errors
    expect(Math.abs(spread(big, 'model.layers.0.self_attn.q_proj.weight') / 0.05 - 1)).toBeLessThan(0.05);
    expect(spread(big, 'model.norm.weight')).toBe(1);
    const { tokens: table } = big.decoder;
    expect(table.weight.select(0, 2).abs().sum().item()).toBe(0);
    const small = CausalLM.fromConfig({ ...gpt2, n_embd: 128 });
    expect(Math.abs(spread(small, 'transformer.h.0.mlp.c_proj.weight') / 0.01 - 1)).toBeLessThan(0.05); // 0.02 / √4
    expect(spread(small, 'transformer.h.0.mlp.c_fc.bias')).toBe(0);
  });

  it('gives every parameter a gradient', () => {
    for (const config of [llama, { ...llama, model_type: 'qwen2' }, gpt2]) {
      const model = CausalLM.fromConfig(config);
      expect(gp.audit(model, (m) => m.forward(ids, { labels: ids }).loss).findings).toEqual([]);
    }
  });

  it('drops activations and attention weights in training only', () => {
    for (const config of [
      { ...llama, attention_dropout: 0.5 },
      { ...gpt2, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0.5 },
    ]) {
      const model = CausalLM.fromConfig({ ...config, initializer_range: 0.5 });
      const run = (): unknown => model.forward(ids).logits.toArray();
      expect(run()).not.toEqual(run());
      model.eval();
      expect(run()).toEqual(run());
    }
  });

  it('refuses what is no batch of tokens, masks and labels of another shape, and more tokens than GPT-2 has positions', () => {
    const model = CausalLM.fromConfig(gpt2);
    expect(() => model.forward(gp.zeros([1, 17], { dtype: 'i64' }))).toThrow('T <= 16');
    expect(() => model.forward(gp.zeros([4], { dtype: 'i64' }))).toThrow('[B, T]');
    expect(() => CausalLM.fromConfig(llama).forward(gp.zeros([4], { dtype: 'i64' }))).toThrow('[B, T], got [4]');
    expect(() => model.forward(ids, { attentionMask: gp.ones([2, 3]) })).toThrow('attentionMask must have the shape');
    expect(() => model.forward(ids, { labels: gp.ones([4, 2]) })).toThrow('labels must have the shape');
    expect(CausalLM.fromConfig(llama).forward(gp.zeros([1, 17], { dtype: 'i64' })).logits.shape).toEqual([1, 17, 24]);
  });
});

describe('generation', () => {
  const model = (change: Record<string, unknown> = {}): gp.models.CausalLM =>
    CausalLM.fromConfig({ ...llama, initializer_range: 0.5, ...change });
  const greedy = { maxNewTokens: 10, temperature: 0 };

  it('ends behind the token that ends a text, unless it is told otherwise', () => {
    const all = model().generate([1, 2], greedy);
    expect(all).toHaveLength(10);
    const end = all[4]!;
    gp.manualSeed(7);
    const ending = model({ eos_token_id: [end, 99] });
    expect(ending.eosTokenIds).toEqual([end, 99]);
    expect(ending.generate([1, 2], greedy)).toEqual(all.slice(0, all.indexOf(end) + 1));
    expect(ending.generate([1, 2], { ...greedy, stop: [] })).toEqual(all);
  });

  it('takes a list, [T] or [1, T], and no batch', () => {
    const m = model();
    const list = m.generate([7, 1, 19], greedy);
    expect(m.generate(tokens([[7, 1, 19]]), greedy)).toEqual(list);
    expect(m.generate(gp.tensor([7, 1, 19], { dtype: 'i32' }), greedy)).toEqual(list);
    expect(() => m.generate(ids, greedy)).toThrow('[T] or [1, T], got i64[2, 4]');
    expect(() => m.generate(gp.ones([2]), greedy)).toThrow('integers');
    const generate: unknown = Reflect.get(m, 'generate');
    const bare = (): void => {
      const written: unknown = typeof generate === 'function' ? Reflect.apply(generate, m, [[1]]) : undefined;
      expect(written).toBe('refused');
    };
    expect(bare).toThrow('[generate] the options must be');
  });

  it.each(['f32', 'bf16', 'f64'] as const)(
    'writes the same captured, eager and beyond the last position, %s',
    (dtype) => {
      for (const change of [{}, { model_type: 'mistral', sliding_window: 5 }, { ...gpt2, eos_token_id: null }]) {
        const m = model(change).to(dtype);
        const run = (capture: boolean): number[] =>
          m.generate([3, 1], { maxNewTokens: 30, temperature: 1, seed: 4, capture });
        expect(run(true)).toEqual(run(false));
        expect(run(true)).toHaveLength(30);
      }
    },
  );
});
