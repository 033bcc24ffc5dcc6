/**
 * Modules of Node at their first use, for what every program imports: most read no file, and all would wait. An import of
 * node:fs evaluates its streams, which takes milliseconds; that of a module which Node has anyway still takes half of one.
 */
export const node = {
  get fs() {
    return process.getBuiltinModule('node:fs');
  },
  get module() {
    return process.getBuiltinModule('node:module');
  },
  get path() {
    return process.getBuiltinModule('node:path');
  },
  get url() {
    return process.getBuiltinModule('node:url');
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
