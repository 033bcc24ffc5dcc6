/** The pages of docs/api, from declarations of ops, signatures and comments. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ops from '../../lib/ops/index.js';
import type { OpRecord } from '../../lib/ops/gateway/op.js';
import { Declarations, type Entry, type Field } from './declarations.js';

const OPS = 'lib/ops/';

interface Page {
  readonly name: string;
  readonly title: string;
  readonly intro: string;
  /** How its things are written by a user: `gp.`, `nn.`. */
  readonly prefix: string;
  /** The module whose exports stand here, and which of their files. */
  readonly module: string;
  readonly files: RegExp;
}

const GP = 'lib/index.ts';
const PAGES: readonly Page[] = [
  page(
    'tensor',
    'Tensors',
    'The class, how tensors are made, random numbers, memory, errors.',
    /^lib\/(?:tensor\/|errors|native\/)|ops\/(?:create|create_more|constants|memory|methods|format)\.ts$|gateway\/generator/,
  ),
  page(
    'ops_shape',
    'Ops: shapes, indexing, order',
    'Views, joining, indexing, searching, sorting.',
    /ops\/(?:view|arrange\w*|join|triangle|pad|windows|gather|scatter_reduce|index_\w+|search|sort)\.ts$/,
  ),
  page(
    'ops_pointwise',
    'Ops: elementwise',
    'Operands broadcast and promote as in PyTorch. Activations stand here too.',
    /ops\/(?:pointwise_\w+|special|compare|activations\w*|in_place\w*)\.ts$/,
  ),
  page(
    'ops_reduce',
    'Ops: reductions and products',
    'Sums, extremes, statistics, running sums, softmax, matrix products.',
    /ops\/(?:reduce\w*|statistics|scan|softmax|overloads|matmul|products|linear)\.ts$/,
  ),
  page(
    'ops_layers',
    'Ops: layers and losses',
    'What modules call: convolution, pooling, norms, attention, embeddings, recurrence, losses.',
    /ops\/(?:conv\w*|pool\w*|\w*norm|(?:cached_)?attention|quantized_linear|rope|embedding\w*|dropout|interpolate|lstm|gru|rnn|recurrent|linear_act|losses\w*|cross_entropy|reduction)\.ts$/,
  ),
  page(
    'ops_update',
    'Ops: updates',
    'One call per group and step; optimizers call them. They write their operands.',
    /ops\/(?:optim_\w+|clip)\.ts$/,
  ),
  page('ops_more', 'Ops: more', 'What stands in files of its own.', /^lib\/ops\/\w+\.ts$/),
  page(
    'autograd',
    'Autograd',
    'Gradients, modes, transforms, custom functions, checks; ops of your own.',
    /^lib\/autograd\/|gateway\/(?:define|op|state)/,
  ),
  page('capture', 'Captured steps', 'See also [capture.md](../capture.md).', /^lib\/capture\//),
  page(
    'nn',
    'nn: modules',
    'Names, shapes, initial values and state-dict keys are PyTorch’s.',
    /^lib\/nn\/(?!init)/,
    'nn.',
    'lib/nn/index.ts',
  ),
  page(
    'nn_init',
    'nn.init: initial values',
    'Each writes its tensor in place and returns it.',
    /^lib\/nn\/init/,
    'nn.init.',
    'lib/nn/init.ts',
  ),
  page(
    'optim',
    'optim: optimizers, schedules, clipping',
    'Schedules are pure functions of the step.',
    /^lib\/optim\//,
    'optim.',
    'lib/optim/index.ts',
  ),
  page('data', 'data: datasets and loaders', '', /^lib\/data\//, 'gp.data.', 'lib/data/index.ts'),
  page('io', 'io: files', '', /^lib\/io\//, 'gp.io.', 'lib/io/index.ts'),
  page('models', 'models', '', /^lib\/models\//, 'gp.models.', 'lib/models/index.ts'),
  page(
    'train',
    'train: training runs',
    'See also [training.md](../training.md).',
    /^lib\/train\//,
    'gp.train.',
    'lib/train/index.ts',
  ),
  page(
    'proof',
    'Proof: audit, mutation, records',
    'See also [broken_model.md](../broken_model.md) and [contracts.md](../contracts.md).',
    /^lib\/(?:audit|mutate|contracts|record)\//,
  ),
  page(
    'testing',
    'gradproof/testing',
    'Plain assertions; `gradproof/vitest` and `gradproof/jest` extend `expect` with the same.',
    /^lib\/(?:testing|contracts)/,
    '',
    'lib/testing.ts',
  ),
];

function page(name: string, title: string, intro: string, files: RegExp, prefix = 'gp.', module = GP): Page {
  return { name, title, intro, prefix, module, files };
}

function hasRecord(value: unknown): value is { readonly record: OpRecord } {
  return typeof value === 'function' && 'record' in value;
}

/** Ops by their exported name, with the file that declares them. */
function declaredOps(root: string): ReadonlyMap<string, { readonly record: OpRecord; readonly file: string }> {
  const files = new Map<string, string>();
  for (const name of readdirSync(join(root, OPS)).filter((file) => file.endsWith('.ts') && file !== 'face.ts')) {
    const text = readFileSync(join(root, OPS, name), 'utf8');
    for (const [, op = ''] of text.matchAll(/\bname: '(\w+)'/g)) files.set(op, `${OPS}${name}`);
    for (const [, made = ''] of text.matchAll(/^export const (\w+) = /gm))
      if (!files.has(made)) files.set(made, `${OPS}${name}`);
  }
  const found = new Map<string, { record: OpRecord; file: string }>();
  for (const [name, value] of Object.entries(ops)) {
    if (!hasRecord(value)) continue;
    const { record } = value;
    found.set(name, {
      record,
      file: files.get(record.name) ?? files.get(record.camel) ?? files.get(name) ?? `${OPS}face.ts`,
    });
  }
  return found;
}

/** What a module's `forward` inherits where it says nothing of its own. */
const INHERITED = /^What the module computes\./;

function plain(text: string): string {
  return text.replace(/</g, '&lt;');
}

function cell(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').replace(/\|/g, '\\|');
}

function fieldLine({ name, type, doc }: Field): string {
  const words = doc === '' ? '' : `: ${plain(cell(doc)).replace(/\\\|/g, '|')}`;
  return `- \`${name}${type === '' ? '' : `: ${type}`}\`${words}`;
}

function isMethod({ name }: Field): boolean {
  return name.includes('(');
}

/** What is known of a declared op beyond its signature. */
function opFacts({ record }: { readonly record: OpRecord }): string {
  const facts: string[] = [];
  const dtypes = record.dtypes.join(', ');
  facts.push(`Dtypes: ${dtypes === '' ? 'any' : dtypes}.`);
  const saved = record.saved.length === 0 ? 'nothing' : record.saved.join(', ');
  if (record.gradient.kind === 'none') facts.push(`No gradient: ${record.gradient.because}.`);
  else if (record.gradient.kind === 'rule') facts.push(`Gradient: a rule of its own, which keeps ${saved}.`);
  else facts.push('Gradient: that of its reference.');
  if (record.view !== undefined) facts.push('A view: it shares the memory.');
  const written = record.mutates.filter((i) => i !== record.rng).map((i) => record.inputs[i]!.name);
  if (written.length > 0) facts.push(`Writes ${written.join(', ')}.`);
  if (record.rng >= 0) facts.push('Draws from the random generator.');
  return facts.join(' ');
}

function code(lines: readonly string[]): string {
  return ['```ts', ...lines, '```'].join('\n');
}

function section(entry: Entry, prefix: string, op: { readonly record: OpRecord } | undefined): string {
  const parts = [`### ${entry.name}`];
  const written = entry.kind === 'class' ? `new ${prefix}${entry.name}` : `${prefix}${entry.name}`;
  if (entry.calls.length > 0)
    parts.push(code([...new Set(entry.calls.map(({ signature }) => `${written}${signature}`))]));
  else if (entry.text !== '')
    parts.push(
      code([
        `${entry.kind === 'type' ? 'type ' : ''}${entry.name}${entry.kind === 'type' ? ' = ' : ': '}${entry.text}`,
      ]),
    );
  if (entry.base !== undefined) parts.push(`Extends \`${entry.base}\`.`);
  const method = op !== undefined && op.record.receiver >= 0 ? ` Also a method: \`x.${entry.name}(…)\`.` : '';
  const doc = op?.record.doc ?? entry.doc;
  if (doc !== '' || method !== '') parts.push(plain(doc) + method);
  if (op !== undefined) parts.push(opFacts(op));
  const options = entry.calls.find((call) => call.options.length > 0)?.options ?? [];
  if (options.length > 0) parts.push(['Options:', '', ...options.map(fieldLine)].join('\n'));
  if (entry.members.length > 0) {
    const own = entry.members.map((field) => (INHERITED.test(field.doc) ? { ...field, doc: '' } : field));
    const sorted = [...own.filter((field) => !isMethod(field)), ...own.filter(isMethod)];
    parts.push(sorted.map(fieldLine).join('\n'));
  }
  return parts.join('\n\n');
}

function anchor(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replace(/ /g, '-');
}

/** The text of every page by its path. */
export function apiPages(root: string): ReadonlyMap<string, string> {
  const declarations = new Declarations(root, [GP, 'lib/testing.ts']);
  const declared = declaredOps(root);
  const pages = new Map<string, string>();
  const homeless = new Set<string>();
  const index: string[] = [];
  const entriesOf = new Map<string, readonly Entry[]>();
  for (const { module } of PAGES)
    if (!entriesOf.has(module))
      entriesOf.set(
        module,
        // The options of an op stand with the op.
        declarations.exports(module).filter(({ file, kind }) => file !== `${OPS}face.ts` || kind !== 'type'),
      );
  const fileOf = (entry: Entry, module: string): string =>
    module === GP && entry.file === `${OPS}face.ts` ? (declared.get(entry.name)?.file ?? entry.file) : entry.file;
  for (const [module, entries] of entriesOf) {
    const own = PAGES.filter((each) => each.module === module);
    for (const entry of entries)
      if (!own.some(({ files }) => files.test(fileOf(entry, module))))
        homeless.add(`${entry.name} (${fileOf(entry, module)})`);
  }
  if (homeless.size > 0)
    throw new Error(`on no page of docs/api: ${[...homeless].join(', ')}; give the file a page in tools/docs/api.ts`);
  const homeOf = (entry: Entry, module: string): Page | undefined =>
    PAGES.find((each) => each.module === module && each.files.test(fileOf(entry, module)));
  for (const each of PAGES) {
    const { name, title, intro, prefix, module } = each;
    const here = entriesOf.get(module)!.filter((entry) => homeOf(entry, module) === each);
    if (here.length === 0) continue;
    // Options stand where they are given.
    const given = new Set(here.flatMap(({ calls }) => calls.map(({ optionsType }) => optionsType)));
    const entries = here.filter((entry) => entry.kind !== 'type' || !given.has(entry.name));
    const sources = [...new Set(entries.map((entry) => fileOf(entry, module)))].sort();
    const body = sources.map((source) => {
      const mine = entries.filter((entry) => fileOf(entry, module) === source);
      const things = mine.map((entry) => section(entry, prefix, module === GP ? declared.get(entry.name) : undefined));
      const about = declarations.header(source).split('\n\n')[0]!.replace(/\n/g, ' ');
      return [`## [${source}](../../${source})`, ...(about === '' ? [] : [plain(about)]), ...things].join('\n\n');
    });
    const names = entries
      .filter(({ kind }) => kind !== 'type')
      .map((entry) => `[${entry.name}](#${anchor(entry.name)})`);
    pages.set(
      `docs/api/${name}.md`,
      [
        `<!-- Generated by \`npm run docs\`. -->`,
        `# ${title}`,
        ...(intro === '' ? [] : [intro]),
        names.join(' · '),
        ...body,
      ].join('\n\n') + '\n',
    );
    index.push(`| [${title}](${name}.md) | ${String(names.length)} | ${cell(intro)} |`);
  }
  pages.set(
    'docs/api/README.md',
    [
      '<!-- Generated by `npm run docs`. -->',
      '# API reference',
      'From the declarations and the comments of the sources. Required arguments stand by position, everything else in one options object; an unknown option is ERR_OPTION with a guess. Every op is a function and, where PyTorch has it so, a method. A number stands for a 0-d tensor. Every error is a `GradproofError` with a `code`.',
      ['| page | entries | |', '| --- | --- | --- |', ...index].join('\n'),
    ].join('\n\n') + '\n',
  );
  return pages;
}
