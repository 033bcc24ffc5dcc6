/**
 * The library (bundles of dist) in threads and processes that end in the middle of things: none may crash or hang. Each test
 * is a process of its own; a crash is a signal, a hang its time limit.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const library = pathToFileURL(join(root, 'dist/index.js')).href;

/** A model in training, as every script has it: `step()` is eager, `captured` compiled. */
const training = `
const gp = await import(${JSON.stringify(library)});
const { nn, optim } = gp;
gp.manualSeed(3);
const make = () => {
  const model = new nn.Sequential(new nn.Linear(64, 128), new nn.ReLU(), new nn.Linear(128, 8));
  const opt = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const step = (x, y) => {
    opt.zeroGrad();
    const loss = gp.crossEntropy(model.forward(x), y);
    loss.backward();
    opt.step();
    return loss;
  };
  return { model, step, x: gp.randn([256, 64]), y: gp.randint(0, 8, [256]) };
};
`;

/** Workers run text; a module is loaded from a data URL. */
const threads = `
const { Worker } = await import('node:worker_threads');
const { once } = await import('node:events');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const inWorker = (body, workerData) =>
  new Worker(new URL('data:text/javascript,' + encodeURIComponent(
    "import { parentPort, workerData } from 'node:worker_threads';" + ${JSON.stringify(training)} + body)), { workerData });
`;

function script(text: string) {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    cwd: root,
    encoding: 'utf8',
    timeout: 100_000,
    killSignal: 'SIGKILL',
    // V8 frees nothing of its own at an abrupt end: the leak check would speak of that.
    env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' },
  });
  return { code: status, signal, out: stdout.trim(), err: stderr.trim() };
}
const ends = (code: number, out = '') => ({ code, signal: null, out, err: '' });
const LIMIT = 120_000;

describe('workers', () => {
  it('sixteen at once train to the same bits as the main thread', { timeout: LIMIT }, () => {
    const train = 'const t = make(); let last; for (let i = 0; i < 10; i++) last = t.step(t.x, t.y).item();';
    const text = `${training}${threads}
      const workers = Array.from({ length: 16 }, () => inWorker(${JSON.stringify(`${train} parentPort.postMessage(last);`)}));
      const answers = workers.map((worker) => once(worker, 'message'));
      ${train}
      const all = (await Promise.all(answers)).map(([loss]) => loss);
      console.log(all.length, all.every((loss) => loss === last), last > 0);`;
    expect(script(text)).toEqual(ends(0, '16 true true'));
  });

  it(
    'may be terminated in an eager step, a backward, a captured run and an asynchronous one',
    { timeout: LIMIT },
    () => {
      const bodies = {
        eager: "const t = make(); parentPort.postMessage('on'); for (;;) t.step(t.x, t.y);",
        product: "const a = gp.randn([700, 700]); parentPort.postMessage('on'); for (;;) a.matmul(a);",
        captured:
          "const t = make(); const c = gp.compile(t.step); for (let i = 0; i < 3; i++) c(t.x, t.y); parentPort.postMessage('on'); for (;;) c(t.x, t.y);",
        late: "const t = make(); const c = gp.compile(t.step); for (let i = 0; i < 3; i++) c(t.x, t.y); parentPort.postMessage('on'); for (;;) await c.async(t.x, t.y);",
        queued:
          "const t = make(); const c = gp.compile(t.step); for (let i = 0; i < 3; i++) c(t.x, t.y); for (let i = 0; i < 50; i++) void c.async(t.x, t.y); parentPort.postMessage('on'); await new Promise(() => setInterval(() => {}, 1000));",
      };
      const text = `${training}${threads}
      const ended = [];
      const bodies = ${JSON.stringify(bodies)};
      await Promise.all(Object.entries(bodies).map(async ([name, body], i) => {
        for (let round = 0; round < 2; round++) {
          const worker = inWorker(body);
          await once(worker, 'message');
          await sleep(7 * i + 13 * round);
          ended.push(name + (await worker.terminate()));
        }
      }));
      const t = make();
      console.log(ended.sort().join(' '), t.step(t.x, t.y).item() > 0);`;
      const names = Object.keys(bodies)
        .sort()
        .flatMap((name) => [`${name}1`, `${name}1`]);
      expect(script(text)).toEqual(ends(0, `${names.join(' ')} true`));
    },
  );

  it('that prepare batches may be terminated, and the loader says so', { timeout: LIMIT }, () => {
    const module =
      'export default () => ({ length: 4000, get: (i) => { if (i === 40) process.exit(3); return { i }; } });';
    const text = `${training}
      const rows = gp.data.fromModule('data:text/javascript,' + encodeURIComponent(${JSON.stringify(module)}));
      const loader = new gp.data.DataLoader(rows, { batchSize: 8, workers: 2 });
      let batches = 0;
      try { for await (const batch of loader) batches++; console.log('no error'); }
      catch (error) { console.log(error.code, /ended/.test(error.message), batches); }
      const more = new gp.data.DataLoader(rows, { batchSize: 8, workers: 2 });
      for await (const batch of more) break;
      console.log('left early');`;
    expect(script(text)).toEqual(ends(0, 'ERR_DATA true 5\nleft early'));
  });

  it(
    'an uncaught exception in one ends that one alone, with its tensors and its work in flight',
    { timeout: LIMIT },
    () => {
      const body =
        'const t = make(); const c = gp.compile(t.step); for (let i = 0; i < 3; i++) c(t.x, t.y);' +
        'void c.async(t.x, t.y); gp.ones([3]).reshape([2]);';
      const text = `${training}${threads}
      const worker = inWorker(${JSON.stringify(body)});
      const [error] = await once(worker, 'error');
      const t = make();
      console.log(error.code, /reshape/.test(error.message), t.step(t.x, t.y).item() > 0);`;
      expect(script(text)).toEqual(ends(0, 'ERR_SHAPE true true'));
    },
  );

  it('process.exit in one, in the middle of a backward, ends it alone', { timeout: LIMIT }, () => {
    const body =
      'const w = gp.ones([4], { requiresGrad: true }); const y = w.mul(2); y.registerHook(() => process.exit(7)); y.sum().backward();';
    const text = `${training}${threads}
      const worker = inWorker(${JSON.stringify(body)});
      const [code] = await once(worker, 'exit');
      console.log(code, gp.ones([2]).sum().item());`;
    expect(script(text)).toEqual(ends(0, '7 2'));
  });

  it(
    'that compute do not keep the process from ending: by process.exit, by an exception, at the end',
    { timeout: LIMIT },
    () => {
      const body = "const a = gp.randn([600, 600]); parentPort.postMessage('on'); for (;;) a.matmul(a);";
      const start = `${threads}
      const workers = [1, 2, 3].map(() => inWorker(${JSON.stringify(body)}));
      await Promise.all(workers.map((worker) => once(worker, 'message')));`;
      expect(script(`${start} process.exit(5);`)).toEqual(ends(5));
      expect(script(`${start} for (const worker of workers) worker.unref();`)).toEqual(ends(0));
      expect(script(`${start} throw new Error('out');`)).toMatchObject({ code: 1, signal: null });
    },
  );
});

describe('process.exit', () => {
  const places = {
    'in a hook on a tensor': 'const y = w.mul(2); y.registerHook(() => process.exit(6)); y.sum().backward();',
    'in the backward of a custom function':
      'const f = gp.customFunction({ forward: (ctx, x) => x.mul(3), backward: () => process.exit(6) }); f(w).sum().backward();',
    'in a scope': 'gp.scope(() => { w.exp(); process.exit(6); });',
    'in the recording of a captured step': 'gp.compile((x) => { x.mul(w).sum(); process.exit(6); })(gp.ones([4]));',
    'with captured runs in flight':
      'const t = make(); const c = gp.compile(t.step); for (let i = 0; i < 3; i++) c(t.x, t.y);' +
      'for (let i = 0; i < 20; i++) void c.async(t.x, t.y); setTimeout(() => process.exit(6), 15);',
    'while values are read': 'for (let i = 0; i < 8; i++) void gp.randn([1000, 1000]).dataAsync(); process.exit(6);',
    'by a signal handler in the middle of a step':
      "const t = make(); process.on('SIGTERM', () => process.exit(6)); process.kill(process.pid, 'SIGTERM');" +
      'const go = () => { t.step(t.x, t.y); setImmediate(go); }; go();',
  };
  for (const [place, text] of Object.entries(places)) {
    it(`${place} ends the process as it says`, { timeout: LIMIT }, () => {
      expect(script(`${training} const w = gp.ones([4], { requiresGrad: true }); ${text}`)).toEqual(ends(6));
    });
  }

  it('an exception in a hook reaches the caller, and the library goes on', { timeout: LIMIT }, () => {
    const text = `${training} const w = gp.ones([4], { requiresGrad: true }); const y = w.mul(2);
      y.registerHook(() => { throw new Error('from the hook'); });
      try { y.sum().backward(); } catch (error) { console.log(error.message); }
      w.mul(3).sum().backward(); console.log(w.grad.toArray().join());`;
    expect(script(text)).toEqual(ends(0, 'from the hook\n3,3,3,3'));
  });
});
