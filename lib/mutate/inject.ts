/**
 * How a fault gets into a run: hooks at the gateway for the forward pass and the optimizer, an interceptor at the rule call
 * for the backward pass. No source is edited, no function replaced, and when the run is over nothing is left behind.
 */
import { interceptRules } from '../autograd/engine.js';
import { nextSequence, type Node } from '../autograd/tape.js';
import { withHooks, type Given, type Hooks, type Site } from '../audit/gateway.js';
import type { Module } from '../nn/module.js';
import type { Inputs } from '../ops/gateway/op.js';
import { Tensor } from '../tensor/tensor.js';

export type Gradients = readonly (readonly (Tensor | null)[])[];

/** A fault at one call of the recorded graph. */
export interface Injection {
  /** Id of the call. */
  readonly site: string;
  readonly before?: ((given: Given) => Given) | undefined;
  readonly after?: ((outputs: Inputs, given: Given) => Inputs | undefined) | undefined;
  /** Set as soon as the fault gave something else than what was there; a fault that never did is none. */
  readonly effect?: { changed: boolean } | undefined;
  /** Runs the call's rule in its own way. */
  readonly during?: ((run: () => Gradients) => Gradients) | undefined;
  /** Changes what the call's rule passes on. */
  readonly rule?: ((gradients: Gradients, node: Node, dys: readonly (Tensor | null)[]) => Gradients) | undefined;
}

/** Takes the history from a result: its values stay, its gradient goes nowhere. */
export function forget(outputs: Inputs): void {
  for (const slot of outputs) {
    for (const t of slot === undefined ? [] : slot instanceof Tensor ? [slot] : slot) {
      t.node = null;
      t.slot = 0;
    }
  }
}

/** One fault, ready to be put around runs of the loss and of its backward pass. */
export class Fault {
  readonly #model: Module;
  readonly #injections: ReadonlyMap<string, Injection>;
  readonly #nodes = new Map<number, Injection>();
  #start = 0;

  constructor(model: Module, injections: readonly Injection[]) {
    this.#model = model;
    this.#injections = new Map(injections.map((injection) => [injection.site, injection]));
  }

  /** Runs a forward pass (or a step of an optimizer) with the fault. */
  forward<T>(body: () => T): T {
    const hooks: Hooks = {
      before: ({ id }: Site, inputs, attrs) => {
        this.#start = nextSequence();
        return this.#injections.get(id)?.before?.({ inputs, attrs });
      },
      after: ({ id }: Site, given, outputs) => {
        const injection = this.#injections.get(id);
        if (injection === undefined) return undefined;
        // the last node of the call is the op's own; those before it are casts of its operands
        if ((injection.rule ?? injection.during) !== undefined && nextSequence() > this.#start)
          this.#nodes.set(nextSequence() - 1, injection);
        return injection.after?.(outputs, given);
      },
    };
    return withHooks(this.#model, hooks, body);
  }

  /** Runs whatever calls backward with the fault in the rules. */
  around<T>(body: () => T): T {
    const outer = interceptRules(null);
    interceptRules((node, run, dys) => {
      const injection = this.#nodes.get(node.sequence);
      const next = (): Gradients => (outer === null ? run() : outer(node, run, dys));
      const given = injection?.during === undefined ? next() : injection.during(next);
      return injection?.rule === undefined ? given : injection.rule(given, node, dys);
    });
    try {
      return body();
    } finally {
      interceptRules(outer);
      this.#nodes.clear();
    }
  }
}
