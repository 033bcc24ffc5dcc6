/** tokenizer.json against Hugging Face's tokenizers: test/golden/causal, written by tools/pytorch/golden_causal.py. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as gp from '../../lib/index.js';
import golden from '../golden/causal/causal.json' with { type: 'json' };

const { PretrainedTokenizer } = gp.data;
const llama = resolve(import.meta.dirname, '../golden/causal/llama');
const { words } = golden;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gradproof-tokenizer-'));
  cpSync(llama, folder, { recursive: true });
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  vi.doUnmock('@huggingface/tokenizers');
});

describe('a tokenizer of a folder', () => {
  it('has the tokens and the text of the original', async () => {
    const tokenizer = await PretrainedTokenizer.fromFolder(llama);
    expect(tokenizer.size).toBe(24);
    expect([...tokenizer.encode(words.text)]).toEqual(words.ids);
    expect([...tokenizer.encode(words.text, { addSpecialTokens: false })]).toEqual(words.bare);
    expect(tokenizer.decode(words.ids)).toBe(words.decoded);
    expect(tokenizer.decode(words.ids, { skipSpecialTokens: false })).toContain('<s>');
    expect(tokenizer.decode([])).toBe('');
  });

  it('refuses tokens that it does not have, and arguments that are none', async () => {
    const tokenizer = await PretrainedTokenizer.fromFolder(llama);
    for (const id of [24, -1, 1.5]) expect(() => tokenizer.decode([id])).toThrow('vocabulary of 24');
    const wrong = { addSpecialTokens: true, specialTokens: true };
    expect(() => tokenizer.encode('a', wrong)).toThrow("unknown option 'specialTokens'");
  });

  it('is missed by name: the file, what is wrong in it, the package', async () => {
    expect([PretrainedTokenizer.isIn(folder), PretrainedTokenizer.isIn(tmpdir())]).toEqual([true, false]);
    await expect(PretrainedTokenizer.fromFolder(join(folder, 'no'))).rejects.toThrow('no such file');
    vi.doMock('@huggingface/tokenizers', () => {
      throw new Error('not installed');
    });
    await expect(PretrainedTokenizer.fromFolder(folder)).rejects.toThrow('npm install @huggingface/tokenizers');
    vi.doUnmock('@huggingface/tokenizers');
    writeFileSync(join(folder, 'tokenizer.json'), '{"model": {"type": "Unheard"}}');
    await expect(PretrainedTokenizer.fromFolder(folder)).rejects.toThrow('cannot use this tokenizer.json');
  });
});
