/** Models built from lib/nn. */
export { GPT, Block, CausalSelfAttention, tokenLoss, type GPTConfig } from './gpt.js';
export { type GenerateOptions } from './generate.js';
export { KVCache, type KVCacheShape } from './kv_cache.js';
export { sampleToken, type SamplingOptions } from './sample.js';
export { mlp, type MLPOptions } from './mlp.js';
export { CNN, type CNNOptions } from './cnn.js';
export { BasicBlock, ResNet, type ResNetOptions } from './resnet.js';
export { CausalLM, type CausalLMInputs, type CausalLMOptions, type CausalLMOutput } from './causal_lm.js';
