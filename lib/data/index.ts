/** Data: datasets, loaders, text. */
export { TensorDataset, collate, type Collated, type Dataset } from './dataset.js';
export { DataLoader, type DataLoaderOptions, type LoaderState } from './loader.js';
export { fromModule, FarDataset } from './far.js';
export { PretrainedTokenizer } from './pretrained_tokenizer.js';
export { CharTokenizer, TextDataset, readText, splitTokens, type Block } from './text.js';
export { permutation } from './random.js';
