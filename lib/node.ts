/**
 * Modules of Node that take milliseconds to evaluate (an import of node:fs evaluates its streams), at their first use: most
 * programs that import the library read no file, and every one would wait for them.
 */
export const node = {
  get fs() {
    return process.getBuiltinModule('node:fs');
  },
  get v8() {
    return process.getBuiltinModule('node:v8');
  },
  get vm() {
    return process.getBuiltinModule('node:vm');
  },
  get workerThreads() {
    return process.getBuiltinModule('node:worker_threads');
  },
};
