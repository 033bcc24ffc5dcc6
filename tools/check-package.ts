/**
 * Packs the package, installs the tarball into an empty folder and uses it as a user would: ESM, CommonJS, TypeScript,
 * the command. Needs a finished set-up. Where prebuilds/ is empty, the addon of build/Release is packed.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { root } from './house/files.js';

const windows = process.platform === 'win32';
let passed = 0;
const failures: string[] = [];

function check(what: string, work: () => void): void {
  try {
    work();
    passed++;
    console.log(`  ✓ ${what}`);
  } catch (error) {
    failures.push(what);
    console.log(`  ✗ ${what}\n${error instanceof Error ? error.message : String(error)}`);
  }
}

interface Answer {
  readonly code: number | null;
  readonly out: string;
  /** Both streams. */
  readonly said: string;
}

function answer(file: string, args: readonly string[], cwd: string): Answer {
  // The user's folder knows nothing of this checkout.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:npm_|GRADPROOF_|NODE_)/.test(name)),
  );
  const { error, status, stdout, stderr } = spawnSync(file, args, { cwd, env, encoding: 'utf8', shell: windows });
  if (error !== undefined) throw error;
  return { code: status, out: stdout, said: `${stdout}${stderr}` };
}

function run(file: string, args: readonly string[], cwd: string): string {
  const { code, out, said } = answer(file, args, cwd);
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code ?? 'a signal'}\n${said}`);
  return out;
}

function expect(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}

/** Puts the built addon where a release has it; returns how to take it away again. */
function ensurePrebuild(): () => void {
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  if (existsSync(folder)) return () => undefined;
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(root, 'build/Release/gradproof.node'), join(folder, 'gradproof.node'));
  return () => rmSync(folder, { recursive: true });
}

const programs = {
  'use.mjs': `
    import * as gp from 'gradproof';
    const x = gp.tensor([1, 2, 3], { requiresGrad: true });
    x.mul(x).sum().backward();
    if (String(x.grad.toArray(1)) !== '2,4,6') throw new Error('gradient of x² is ' + x.grad);
  `,
  'use.cjs': `
    const gp = require('gradproof');
    const model = new gp.nn.Linear(3, 1);
    const opt = new gp.optim.SGD(model.parameters(), { lr: 0.1 });
    const loss = model.forward(gp.ones([2, 3])).square().mean();
    loss.backward();
    opt.step();
    if (!(loss.item() >= 0)) throw new Error('loss is ' + loss.item());
  `,
  'subject.mjs': `
    import * as gp from 'gradproof';
    const x = gp.tensor([[1, 2], [3, -1]]);
    export default gp.defineSubject(() => ({
      module: new gp.nn.Linear(2, 2), loss: (m) => m.forward(x).square().sum(), inputs: { x },
    }));
  `,
  'broken.mjs': `
    import * as gp from 'gradproof';
    const [x, c] = [gp.tensor([[1, 2], [3, -1]]), gp.tensor([[1, -2], [0.5, 3]])];
    class Broken extends gp.nn.Module {
      a = new gp.nn.Linear(2, 2);
      b = new gp.nn.Linear(2, 2);
      forward() {
        const hidden = this.a.forward(x).detach();
        return this.b.forward(hidden).mul(c).sum();
      }
    }
    export default gp.defineSubject(() => ({ module: new Broken(), loss: (m) => m.forward(x), inputs: { x } }));
  `,
  'throws.mjs': `throw new RangeError('this file cannot be loaded');`,
  'contract.yaml': [
    'contract: linear',
    'subject: ./subject.mjs',
    'obligations:',
    '  - id: L-1',
    "    says: 'Both parameters are trained.'",
    '    check: gradient-flow',
    '    mutations: auto',
    '',
  ].join('\n'),
  'use.ts': `
    import * as gp from 'gradproof';
    import { nn, optim } from 'gradproof';
    class Twice extends nn.Module {
      readonly inner = new nn.Linear(4, 4);
      override forward(x: gp.Tensor): gp.Tensor { return this.inner.forward(x).mul(2); }
    }
    const model = new Twice();
    const opt = new optim.AdamW(model.parameters(), { lr: 3e-4, weightDecay: 0.1 });
    const step = gp.compile((x: gp.Tensor) => {
      opt.zeroGrad();
      const loss = model.forward(x).square().mean();
      loss.backward();
      opt.step();
      return loss;
    });
    const value: number = step(gp.randn([2, 4])).item();
    // @ts-expect-error an unknown option does not compile
    gp.tensor([1], { requireGrad: true });
    declare module 'gradproof' { interface Tensor { twice(): Tensor } }
    export const twice: (x: gp.Tensor) => gp.Tensor = (x) => x.twice();
    export default value;
  `,
};

/** The TypeScript programs of the README: those that begin with the import. */
function readmePrograms(): string[] {
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  return [...text.matchAll(/```ts\n(import [^]*?)```/g)].map((match) => match[1]!);
}

function compile(user: string, file: string, module: string, resolution: string): void {
  const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
  const types = ['--target', 'es2023', '--lib', 'es2023,esnext.disposable', '--types', 'node'];
  const roots = ['--typeRoots', join(root, 'node_modules/@types')];
  const where = ['--module', module, '--moduleResolution', resolution];
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  run(process.execPath, [tsc, ...options, ...types, ...roots, ...where, file], user);
}

const place = mkdtempSync(join(tmpdir(), 'gradproof-package-'));
const removePrebuild = ensurePrebuild();
try {
  const packed = run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', place], root);
  // npm may print notices before its JSON.
  const files = [...packed.matchAll(/"path": "([^"]+)"/g)].map((match) => match[1]!);
  const tarball = /"filename": "([^"]+)"/.exec(packed)?.[1] ?? '';
  const manifest = readFileSync(join(root, 'package.json'), 'utf8');

  check('the tarball has what a user needs', () => {
    const wanted = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'dist/index.js', 'dist/cli.js'];
    const absent = [...wanted, 'dist/types/index.d.ts'].filter((file) => !files.includes(file));
    expect(absent.length === 0, `not in it: ${absent.join(', ')}`);
    expect(
      files.some((file) => /^prebuilds\/.+\/gradproof.*\.node$/.test(file)),
      'no prebuilt addon in it',
    );
    expect(
      files.some((file) => /^docs\/.+\.md$/.test(file)),
      'no docs in it',
    );
  });
  check('the tarball has no binding.gyp, no sources, no test backend, and no script runs at its install', () => {
    const surplus = files.filter((file) => /^(?:binding\.gyp|lib\/|native\/|test\/|tools\/)|backend_fake/.test(file));
    expect(surplus.length === 0, `in it: ${surplus.join(', ')}`);
    expect(!/"(?:pre|post)?install"|"prepare"/.test(manifest), 'package.json has an install script');
  });

  check('its bundles are ASCII, in lines that an uncaught error may print', () => {
    const bundles = files.filter((file) => /^dist\/.*\.js$/.test(file)).map((file) => join(root, file));
    const texts = bundles.map((file) => readFileSync(file, 'latin1'));
    expect(Math.max(...texts.flatMap((text) => text.split('\n').map((line) => line.length))) < 2000, 'a line is long');
    // one character beyond would make V8 hold, and read, the whole file in two bytes each
    expect(!texts.some((text) => /[\x80-\xff]/.test(text)), 'a bundle has letters beyond ASCII');
  });

  const user = join(place, 'user');
  mkdirSync(user);
  writeFileSync(join(user, 'package.json'), '{ "name": "user", "private": true }\n');
  for (const [file, text] of Object.entries(programs)) writeFileSync(join(user, file), text);
  check('npm install', () => run('npm', ['install', join(place, tarball)], user));
  // From the lock file: here npm would run a build for a package with a binding.gyp.
  check('npm ci', () => {
    run('npm', ['ci'], user);
    expect(!existsSync(join(user, 'node_modules/gradproof/build')), 'npm ci has built something');
  });
  check('import from an ES module', () => run(process.execPath, ['use.mjs'], user));
  check('require from CommonJS', () => run(process.execPath, ['use.cjs'], user));
  for (const [module, resolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ] as const) {
    check(`TypeScript, strict, moduleResolution ${resolution}`, () => compile(user, 'use.ts', module, resolution));
  }
  readmePrograms().forEach((program, i) => {
    check(`program ${i + 1} of the README, word for word: compiles and runs`, () => {
      const file = `readme-${i + 1}.mts`;
      writeFileSync(join(user, file), program);
      compile(user, file, 'nodenext', 'nodenext');
      const { code } = transformSync(program, { loader: 'ts', target: 'node20.19' });
      writeFileSync(join(user, `readme-${i + 1}.mjs`), code);
      const printed = Number(run(process.execPath, [`readme-${i + 1}.mjs`], user));
      expect(Number.isFinite(printed), `it printed ${printed}`);
    });
  });
  const command = join(user, 'node_modules/.bin', windows ? 'gradproof.cmd' : 'gradproof');
  check('gradproof doctor finds the prebuilt addon', () => {
    const said = run(command, ['doctor'], user);
    expect(/prebuilds.*gradproof.*\.node +loaded/.test(said), said);
  });
  check("gradproof train, without --data, trains on the package's own documentation and proves itself", () => {
    const said = run(command, ['train', '--steps', '20', '--layers', '1', '--sample', '40', '--out', 'run'], user);
    expect(said.includes("gradproof's documentation") && !said.includes('RED'), said);
    expect(existsSync(join(user, 'run/report.html')), 'there is no report');
    run(command, ['train', '--resume', 'run'], user);
    expect(run(command, ['generate', 'run', '--length', '10'], user).length > 5, 'it wrote nothing');
  });
  check('gradproof gradcheck of all ops, and of a file', () => {
    const said = run(command, ['gradcheck', '--quiet'], user);
    expect(/^\d+ passed, 0 failed/m.test(said), said);
    run(command, ['gradcheck', 'subject.mjs'], user);
  });
  check(
    'gradproof audit, prove and check: a healthy model holds, a cut is named with its line, a file that throws is neither',
    () => {
      run(command, ['audit', 'subject.mjs'], user);
      run(command, ['prove', 'subject.mjs', '--budget', '10'], user);
      run(command, ['check', '--update', 'contract.yaml'], user);
      run(command, ['check', 'contract.yaml', 'subject.mjs'], user);
      const broken = answer(command, ['audit', 'broken.mjs'], user);
      expect(broken.code === 1 && /broken\.mjs:8:/.test(broken.said) && broken.said.includes('a.weight'), broken.said);
      const throws = answer(command, ['check', 'throws.mjs'], user);
      expect(throws.code === 3 && throws.said.includes('this file cannot be loaded'), throws.said);
    },
  );
  check('gradproof record and compare: a step against itself has no difference', () => {
    for (const out of ['one', 'two']) run(command, ['record', 'subject.mjs', '--out', out], user);
    run(command, ['compare', 'one', 'two'], user);
  });
} finally {
  removePrebuild();
  rmSync(place, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failures.length} failed`);
if (failures.length > 0) process.exitCode = 1;
