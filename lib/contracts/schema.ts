/**
 * What a contract may say, and an error with a position for everything else. The file is read strictly: a key that is
 * nearly right, an id used twice, a prediction left empty, a status written by hand: each is a problem, not a default.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Node, type Pair, type Scalar } from 'yaml';
import { closest } from '../errors.js';
import type { DeclaredZero } from '../audit/index.js';
import { CHECKS } from './checks/index.js';
import type { Problem } from './report/index.js';

/** A fault that an obligation must notice, by the id that `audit --edges` and `prove` show. */
export interface DeclaredMutation {
  /** `sever:attn/softmax#0`, `sign:mlp/linear#0.weight`. */
  readonly mutant: string;
  /** Exactly the parameters that must freeze; undefined where none is claimed. */
  readonly freezes: readonly string[] | undefined;
  readonly at: string;
}

export interface Obligation {
  readonly id: string;
  readonly says: string;
  /** A name of `checks/`, or the path of a user's module. */
  readonly check: string;
  readonly with: Readonly<Record<string, unknown>>;
  readonly zeros: readonly DeclaredZero[];
  readonly mutations: 'auto' | readonly DeclaredMutation[];
  /** `file:line:column` of the obligation, and of its check. */
  readonly at: string;
  readonly checkAt: string;
}

export interface Contract {
  readonly id: string;
  readonly file: string;
  /** As written: a path relative to the contract. */
  readonly subject: string;
  readonly subjectAt: string;
  readonly device: string;
  readonly obligations: readonly Obligation[];
  readonly at: string;
}

const TOP = ['contract', 'subject', 'device', 'obligations'];
const OBLIGATION = ['id', 'says', 'check', 'with', 'zeros', 'mutations'];
const MUTATION = ['sever', 'mutant', 'freezes'];
const ZERO = ['parameter', 'because'];

interface Field {
  readonly key: Node;
  readonly value: Node | null;
}

class Reader {
  readonly problems: Problem[] = [];
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly root: Node | null;

  constructor(text: string, file: string) {
    this.#file = file;
    const document = parseDocument(text, { lineCounter: this.#lines, strict: true, uniqueKeys: true });
    for (const { pos, message } of document.errors) this.#tell('yaml', message.split('\n')[0] ?? message, pos[0]);
    for (const { pos, message } of document.warnings) this.#tell('yaml', message.split('\n')[0] ?? message, pos[0]);
    this.root = document.contents;
  }

  position(node: Node | null | undefined): string {
    const { line, col } = this.#lines.linePos(node?.range?.[0] ?? 0);
    return `${this.#file}:${line}:${col}`;
  }

  #tell(rule: string, message: string, offset: number): void {
    const { line, col } = this.#lines.linePos(offset);
    this.problems.push({ rule, message, at: `${this.#file}:${line}:${col}` });
  }

  problem(rule: string, message: string, node: Node | null | undefined): void {
    this.#tell(rule, message, node?.range?.[0] ?? 0);
  }

  /** The fields of a mapping; unknown keys are problems, with a guess. */
  fields(node: Node | null | undefined, what: string, known: readonly string[]): ReadonlyMap<string, Field> {
    const found = new Map<string, Field>();
    if (!isMap(node)) {
      this.problem('shape', `${what} must be a mapping with ${known.join(', ')}`, node);
      return found;
    }
    for (const { key, value } of this.pairs(node.items)) {
      const name = isScalar(key) ? String(key.value) : '';
      if (known.includes(name)) {
        found.set(name, { key, value });
        continue;
      }
      const guess = closest(name, known);
      const why = Object.hasOwn(REFUSED, name)
        ? ` ${REFUSED[name] ?? ''}`
        : guess === undefined
          ? ` There are: ${known.join(', ')}.`
          : ` Did you mean '${guess}'?`;
      this.problem('unknown-key', `${what} has no key '${name}'.${why}`, key);
    }
    return found;
  }

  pairs(items: readonly Pair[]): Field[] {
    return items.flatMap(({ key, value }) => (isNode(key) ? [{ key, value: isNode(value) ? value : null }] : []));
  }

  items(node: Node | null | undefined, what: string): readonly Node[] {
    if (isSeq(node)) return node.items.filter(isNode);
    this.problem('shape', `${what} must be a list`, node);
    return [];
  }

  /** A non-empty string. Prose must be quoted or folded: plain YAML ends it at ` #`, and splits it at `: `. */
  text(node: Node | null | undefined, what: string, owner: Node | null | undefined, prose = false): string {
    if (!isScalar(node) || typeof node.value !== 'string') {
      const got = isScalar(node) ? typeof node.value : 'nothing';
      this.problem('missing', `${what} must be text, got ${got}`, node ?? owner);
      return '';
    }
    if (node.value.trim() === '') this.problem('empty', `${what} must not be empty`, node);
    else if (prose && isPlain(node))
      this.problem(
        'plain-text',
        `${what} must be quoted or folded (>-): plain YAML drops what follows ' #' and trips over ': '`,
        node,
      );
    return node.value.trim();
  }
}

/** Keys that people write and that must not be believed. */
const REFUSED: Readonly<Record<string, string>> = {
  status: 'Status is computed from the run, never written by hand.',
  kind: 'A contract is what its checks are.',
  falsification: "Faults stand in 'mutations' of each obligation.",
};

function isNode(value: unknown): value is Node {
  return isMap(value) || isSeq(value) || isScalar(value) || isAlias(value);
}

function isPlain(node: Scalar): boolean {
  return node.type === 'PLAIN';
}

/** Reads one contract; with problems there is no contract. */
export function readContract(
  text: string,
  file: string,
): { readonly contract: Contract | undefined; readonly problems: readonly Problem[] } {
  const reader = new Reader(text, file);
  const top = reader.fields(reader.root, 'a contract', TOP);
  const value = (name: string): Node | null | undefined => top.get(name)?.value;
  const id = reader.text(value('contract'), "'contract'", reader.root);
  const subject = reader.text(value('subject'), "'subject'", reader.root);
  const device = top.has('device') ? reader.text(value('device'), "'device'", reader.root) : 'cpu';
  const list = reader.items(value('obligations') ?? reader.root, "'obligations'");
  if (top.has('obligations') && list.length === 0)
    reader.problem('inert', 'a contract without obligations promises nothing', value('obligations'));
  const seen = new Map<string, string>();
  const obligations = list.map((node) => obligation(reader, node, seen));
  if (reader.problems.length > 0) return { contract: undefined, problems: reader.problems };
  const at = reader.position(reader.root);
  const contract = { id, file, subject, subjectAt: reader.position(value('subject')), device, obligations, at };
  return { contract, problems: [] };
}

function obligation(reader: Reader, node: Node, seen: Map<string, string>): Obligation {
  const fields = reader.fields(node, 'an obligation', OBLIGATION);
  const value = (name: string): Node | null | undefined => fields.get(name)?.value;
  const id = reader.text(value('id'), "'id'", node);
  const before = seen.get(id);
  if (before !== undefined) reader.problem('duplicate-id', `the id '${id}' stands at ${before} already`, value('id'));
  seen.set(id, reader.position(value('id')));
  const check = reader.text(value('check'), "'check'", node);
  if (check !== '' && !check.startsWith('.') && !Object.hasOwn(CHECKS, check)) {
    const guess = closest(check, Object.keys(CHECKS));
    const hint =
      guess === undefined
        ? ` There are: ${Object.keys(CHECKS).join(', ')}; or the path of a module.`
        : ` Did you mean '${guess}'?`;
    reader.problem('unknown-check', `there is no check '${check}'.${hint}`, value('check'));
  }
  if (!fields.has('mutations'))
    reader.problem(
      'no-mutation',
      `the obligation '${id}' has no mutations: a check that cannot go red is not a check`,
      node,
    );
  return {
    id,
    says: reader.text(value('says'), "'says'", node, true),
    check,
    with: fields.has('with') ? options(reader, value('with'), check) : {},
    zeros: fields.has('zeros') ? reader.items(value('zeros'), "'zeros'").map((zero) => zeroOf(reader, zero)) : [],
    mutations: fields.has('mutations') ? mutations(reader, value('mutations')) : 'auto',
    at: reader.position(node),
    checkAt: reader.position(value('check')),
  };
}

function options(reader: Reader, node: Node | null | undefined, check: string): Readonly<Record<string, unknown>> {
  const known = CHECKS[check]?.options;
  if (!isMap(node)) {
    reader.problem('shape', "'with' must be a mapping", node);
    return {};
  }
  if (known !== undefined) reader.fields(node, `'with' of ${check}`, known);
  const plain: unknown = node.toJSON();
  return typeof plain === 'object' && plain !== null ? Object.fromEntries(Object.entries(plain)) : {};
}

function zeroOf(reader: Reader, node: Node): DeclaredZero {
  const fields = reader.fields(node, 'a structural zero', ZERO);
  const parameter = reader.text(fields.get('parameter')?.value, "'parameter'", node);
  if (!fields.has('because')) reader.problem('no-reason', `the structural zero '${parameter}' needs 'because'`, node);
  const because = fields.has('because') ? reader.text(fields.get('because')?.value, "'because'", node, true) : '';
  return { parameter, because };
}

function mutations(reader: Reader, node: Node | null | undefined): 'auto' | readonly DeclaredMutation[] {
  if (isScalar(node) && node.value === 'auto') return 'auto';
  if (!isSeq(node)) {
    reader.problem('shape', "'mutations' must be auto or a list", node);
    return 'auto';
  }
  const list = reader.items(node, "'mutations'");
  if (list.length === 0)
    reader.problem('no-mutation', "'mutations' is empty: a check that cannot go red is not a check", node);
  return list.map((item): DeclaredMutation => {
    const fields = reader.fields(item, 'a mutation', MUTATION);
    const sever = fields.get('sever');
    const named = fields.get('mutant');
    if ((sever === undefined) === (named === undefined))
      reader.problem('shape', "a mutation needs 'sever: CALL' or 'mutant: ID'", item);
    const text = reader.text((sever ?? named)?.value, sever === undefined ? "'mutant'" : "'sever'", item);
    const freezes = fields.has('freezes')
      ? reader.items(fields.get('freezes')?.value, "'freezes'").map((entry) => reader.text(entry, 'a parameter', item))
      : undefined;
    return { mutant: sever === undefined ? text : `sever:${text}`, freezes, at: reader.position(item) };
  });
}
