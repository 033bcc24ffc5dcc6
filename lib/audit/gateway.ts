/**
 * A place at the gateway: every top-level op call of a run gets an id (`blocks.0.attn/softmax#0`: module path, op, number
 * of that op in that module), and hooks see it before and after. Calls inside a reference are part of the call that runs
 * it. Ids are the same in every run of the same program, which is what lets a mutant name a place of a recorded graph.
 */
import { runningModules, type Module } from '../nn/module.js';
import type { Attributes, Inputs, OpRecord } from '../ops/gateway/op.js';
import { passTo, state } from '../ops/gateway/state.js';

export interface Site {
  /** Position among the calls of the run. */
  readonly index: number;
  readonly id: string;
  readonly op: OpRecord;
  /** Of the innermost running module; '' for the outermost one and outside of all. */
  readonly path: string;
}

export interface Hooks {
  /** May replace what goes in. */
  readonly before?: (site: Site, inputs: Inputs, attrs: Attributes) => Given | undefined;
  /** Sees what came out, and may replace it. */
  readonly after?: (site: Site, given: Given, outputs: Inputs) => Inputs | undefined;
}

export interface Given {
  readonly inputs: Inputs;
  readonly attrs: Attributes;
}

/** Names of modules by identity; the innermost running one that is known gives the path. */
export class Paths {
  readonly #names: ReadonlyMap<Module, string>;

  constructor(model: Module | undefined) {
    this.#names = new Map(model?.namedModules().map(([name, module]) => [module, name]));
  }

  current(): string {
    const running = runningModules();
    for (let i = running.length - 1; i >= 0; i--) {
      const name = this.#names.get(running[i]!);
      if (name !== undefined) return name;
    }
    return '';
  }
}

/** Numbers the calls of one run. */
export class Numbering {
  readonly #paths: Paths;
  readonly #counts = new Map<string, number>();
  #next = 0;

  constructor(model: Module | undefined) {
    this.#paths = new Paths(model);
  }

  site(op: OpRecord): Site {
    const path = this.#paths.current();
    const place = path === '' ? op.name : `${path}/${op.name}`;
    const count = this.#counts.get(place) ?? 0;
    this.#counts.set(place, count + 1);
    return { index: this.#next++, id: `${place}#${count}`, op, path };
  }
}

/** What a hook computes is no call of the program: nobody sees or numbers it. */
function raw<T>(hook: () => T): T {
  const { interceptor, recorder } = state;
  state.interceptor = null;
  state.recorder = null;
  try {
    return hook();
  } finally {
    state.interceptor = interceptor;
    state.recorder = recorder;
  }
}

/** Runs `body` with hooks at the gateway; hooks of an outer call see what these let through. They are gone afterwards. */
export function withHooks<T>(model: Module | undefined, hooks: Hooks, body: () => T): T {
  const numbering = new Numbering(model);
  const outer = state.interceptor;
  const pass = passTo(outer);
  let inside = false;
  state.interceptor = (op, inputs, attrs, device, perform) => {
    if (inside) return pass(op, inputs, attrs, device, perform);
    inside = true;
    try {
      const site = numbering.site(op);
      const given = raw(() => hooks.before?.(site, inputs, attrs)) ?? { inputs, attrs };
      const outputs = pass(op, given.inputs, given.attrs, device, perform);
      return raw(() => hooks.after?.(site, given, outputs)) ?? outputs;
    } finally {
      inside = false;
    }
  };
  try {
    return body();
  } finally {
    state.interceptor = outer;
  }
}
