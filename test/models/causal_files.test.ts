/** Folders of models: what is read, what is refused, what is written. */
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import golden from '../golden/causal/causal.json' with { type: 'json' };
import { CausalLM, folderWith, readJson, refusal, temporary, tokens } from './causal_harness.js';

const ids = tokens(golden.ids);

/** The same folder with other tensors. */
async function withTensors(
  name: string,
  change: (dict: Record<string, gp.Tensor>) => Record<string, gp.Tensor>,
): Promise<string> {
  const folder = folderWith(name);
  const path = join(folder, 'model.safetensors');
  await gp.io.saveSafetensors(path, change(await gp.io.loadSafetensors(path)));
  return folder;
}

describe('reading a folder', () => {
  it("takes the dtype of the config, that of the files where it says nothing, or the caller's", async () => {
    const dtypeOf = async (changes: Record<string, unknown>, dtype?: gp.DType): Promise<string> =>
      (await CausalLM.fromPretrained(folderWith('llama3', changes), { dtype })).decoder.tokens.weight.dtype;
    expect(await dtypeOf({})).toBe('f16');
    expect(await dtypeOf({ dtype: 'bfloat16' })).toBe('bf16');
    expect(await dtypeOf({ dtype: undefined })).toBe('f16');
    expect(await dtypeOf({ dtype: null, torch_dtype: 'float32' })).toBe('f32');
    expect(await dtypeOf({}, 'f64')).toBe('f64');
  });

  it('leaves the random stream alone, and the model in evaluation mode', async () => {
    const before = gp.getRngState();
    const model = await CausalLM.fromPretrained(folderWith('llama'));
    expect([gp.getRngState(), model.training]).toEqual([before, false]);
  });

  it('keeps a tied head tied, and takes one that is stored too, if it is the same', async () => {
    const tied = await CausalLM.fromPretrained(folderWith('qwen2'));
    expect(tied.lm_head.weight).toBe(tied.decoder.tokens.weight);
    const twice = await withTensors('gpt2', (d) => ({ ...d, 'lm_head.weight': d['transformer.wte.weight']!.clone() }));
    expect((await CausalLM.fromPretrained(twice)).forward(ids).logits.shape).toEqual([2, 9, 24]);
    const other = await withTensors('gpt2', (d) => ({ ...d, 'lm_head.weight': d['transformer.wte.weight']!.add(1) }));
    expect((await refusal(CausalLM.fromPretrained(other))).message).toContain('tie_word_embeddings');
  });

  it("reads GPT-2's older files: no prefix, and masks among the weights", async () => {
    const old = await withTensors('gpt2', (dict) => ({
      ...Object.fromEntries(Object.entries(dict).map(([name, t]) => [name.replace(/^transformer\./, ''), t])),
      'h.0.attn.bias': gp.ones([1, 1, 64, 64]),
      'h.1.attn.masked_bias': gp.tensor(-1e4),
    }));
    const [a, b] = [await CausalLM.fromPretrained(old), await CausalLM.fromPretrained(folderWith('gpt2'))];
    expect(a.forward(ids).logits.toArray()).toEqual(b.forward(ids).logits.toArray());
  });

  it('lists everything that is missing, unexpected or of another shape in one error', async () => {
    const folder = await withTensors('llama', ({ 'model.norm.weight': _norm, 'lm_head.weight': head, ...dict }) => ({
      ...dict,
      'lm_head.weight': head!.narrow(0, 0, 23),
      'model.layers.2.mlp.up_proj.weight': gp.ones([20, 16]),
      'model.layers.0.self_attn.q_proj.weight': gp.ones([16, 16], { dtype: 'i32' }),
    }));
    const error = await refusal(CausalLM.fromPretrained(folder));
    expect(error.code).toBe('ERR_STATE_DICT');
    expect(error.details).toEqual({
      missing: ['model.norm.weight'],
      unexpected: ['model.layers.2.mlp.up_proj.weight'],
      mismatched: [
        'model.layers.0.self_attn.q_proj.weight (i32[16, 16] for bf16[16, 16])',
        'lm_head.weight (bf16[23, 16] for bf16[24, 16])',
      ],
    });
  });

  it('needs every shard that the index names, inside of the folder, and each tensor once', async () => {
    const shard = 'model-00002-of-00003.safetensors';
    const folder = folderWith('qwen2');
    renameSync(join(folder, shard), join(folder, 'away'));
    expect((await refusal(CausalLM.fromPretrained(folder))).message).toContain(shard);
    const index = (map: unknown): string => {
      const made = folderWith('qwen2');
      writeFileSync(join(made, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
      return made;
    };
    for (const map of [{ a: '../qwen2/model-00001-of-00003.safetensors' }, { a: '..' }, {}, { a: 1 }, undefined])
      expect((await refusal(CausalLM.fromPretrained(index(map)))).message).toContain('weight_map');
    const twice = folderWith('qwen2');
    writeFileSync(join(twice, 'b.safetensors'), readFileSync(join(twice, shard)));
    const path = join(twice, 'model.safetensors.index.json');
    const text = readFileSync(path, 'utf8').replace('"weight_map": {', '"weight_map": {"x": "b.safetensors",');
    writeFileSync(path, text);
    expect((await refusal(CausalLM.fromPretrained(twice))).message).toMatch(/stands in .*b\.safetensors and in /);
  });

  it('says what to do about other formats, and what is missing', async () => {
    const folder = folderWith('llama');
    renameSync(join(folder, 'model.safetensors'), join(folder, 'pytorch_model.bin'));
    const error = await refusal(CausalLM.fromPretrained(folder));
    expect([error.code, error.hint]).toEqual(['ERR_FILE', expect.stringMatching(/pytorch_model\.bin.*convert/)]);
    rmSync(join(folder, 'config.json'));
    expect((await refusal(CausalLM.fromPretrained(folder))).message).toMatch(/config\.json: no such file or folder\.$/);
    expect((await refusal(CausalLM.fromPretrained('org/model'))).message).toContain('nothing is downloaded');
    writeFileSync(join(folder, 'config.json'), '[1]');
    expect((await refusal(CausalLM.fromPretrained(folder))).code).toBe('ERR_FORMAT');
    writeFileSync(join(folder, 'config.json'), '{');
    expect((await refusal(CausalLM.fromPretrained(folder))).code).toBe('ERR_FORMAT');
  });
});

describe('writing a folder', () => {
  it("passes the tokenizer's files and generation_config.json on, and leaves what else is there", async () => {
    const from = folderWith('gpt2');
    const bytes = Buffer.from([0, 1, 255]);
    for (const name of ['tokenizer.json', 'merges.txt', 'notes.txt']) writeFileSync(join(from, name), bytes);
    const to = temporary();
    writeFileSync(join(to, 'mine.txt'), 'mine');
    writeFileSync(join(to, 'config.json'), 'old');
    const model = await CausalLM.fromPretrained(from);
    rmSync(from, { recursive: true });
    await model.savePretrained(to);
    expect(readdirSync(to).sort()).toEqual(
      ['config.json', 'generation_config.json', 'merges.txt', 'mine.txt', 'model.safetensors', 'tokenizer.json'].sort(),
    );
    expect(readFileSync(join(to, 'tokenizer.json'))).toEqual(bytes);
    expect(readFileSync(join(to, 'mine.txt'), 'utf8')).toBe('mine');
  });

  it('keeps the config, but for the dtype of the weights', async () => {
    const to = join(temporary(), 'new', 'folder');
    const from = folderWith('llama', { architectures: undefined, my_field: [1] });
    await (await CausalLM.fromPretrained(from)).to('f16').savePretrained(to);
    const was = readJson(join(from, 'config.json'));
    expect(readJson(join(to, 'config.json'))).toEqual({
      ...was,
      dtype: 'float16',
      architectures: ['LlamaForCausalLM'],
    });
  });

  it('has the names and shapes of transformers, the tied head once', async () => {
    for (const name of ['gpt2', 'qwen2', 'llama3']) {
      const to = temporary();
      const model = await CausalLM.fromPretrained(folderWith(name), { dtype: 'f32' });
      await model.savePretrained(to);
      const shapes = async (folder: string): Promise<string[]> => {
        const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
        const dicts = await Promise.all(files.map((file) => gp.io.loadSafetensors(join(folder, file))));
        return dicts.flatMap((dict) => Object.entries(dict).map(([key, t]) => `${key} ${t.shape.join()}`)).sort();
      };
      expect(await shapes(to)).toEqual(await shapes(folderWith(name)));
    }
  });

  it('refuses a model whose modules are others than its config says, and writes nothing', async () => {
    const model = await CausalLM.fromPretrained(folderWith('llama'));
    gp.nn.quantize_(model);
    const to = join(temporary(), 'never');
    expect((await refusal(model.savePretrained(to))).code).toBe('ERR_STATE_DICT');
    expect(existsSync(to)).toBe(false);
  });
});
