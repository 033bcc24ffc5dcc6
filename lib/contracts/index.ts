/** Contracts: what a program promises, and proof that the promise can be broken. */
export { CHECKS, type Check, type Context, type Verdict } from './checks/index.js';
export { readContract, type Contract, type Obligation } from './schema.js';
export { jsonSchema } from './json_schema.js';
export { runContract, type RunOptions } from './run.js';
