/** Models built from lib/nn. */
export { GPT, Block, CausalSelfAttention, tokenLoss, type GPTConfig } from './gpt.js';
export { sampleToken, type GenerateOptions } from './generate.js';
export { mlp, type MLPOptions } from './mlp.js';
export { CNN, type CNNOptions } from './cnn.js';
export { BasicBlock, ResNet, type ResNetOptions } from './resnet.js';
