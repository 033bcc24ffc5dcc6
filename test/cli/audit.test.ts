/** The commands audit and prove on a user's files: TypeScript and JavaScript, lines, reporters, exit codes, bad files. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Place, root } from './harness.js';

const place = new Place();
const library = JSON.stringify(join(root, 'lib/index.ts'));

/** A model file; the cut stands in line 9. */
const model = (cut: string, typed = true): string => `import * as gp from ${library};
const { nn } = gp;
${typed ? 'interface Sizes { readonly width: number }\nconst sizes: Sizes = { width: 4 };' : '// plain JavaScript\nconst sizes = { width: 4 };'}
class Net extends nn.Module {
  a = new nn.Linear(3, sizes.width);
  b = new nn.Linear(sizes.width, 2);
  forward(x${typed ? ': gp.Tensor' : ''}) {
    return this.b.forward(${cut}this.a.forward(x)${cut === '' ? '' : ')'}.tanh()${cut === '' ? '' : '.detach()'});
  }
}
gp.manualSeed(1);
const x = gp.randn([5, 3]);
export default gp.defineSubject(() => ({ module: new Net(), loss: (m) => m.forward(x).square().mean() }));
`;
const severed = (typed = true): string => model('(', typed);

describe('gradproof audit', () => {
  it.each([
    ['TypeScript', 'net.mts', true],
    ['JavaScript', 'plain.mjs', false],
  ])('names the line of a cut in %s', (_, file, typed) => {
    place.write(file, severed(typed));
    const { code, out } = place.run('audit', file);
    expect(out).toMatch(
      new RegExp(`severed at 'detach' \\(.*${file.replace('.', '\\.')}:9:\\d+\\): a\\.weight, a\\.bias`),
    );
    expect(out).toMatch(/✗ a +weight severed, bias severed\n +✓ b /);
    expect(code).toBe(1);
  });

  it('holds for a whole model, and lists its calls', async () => {
    place.write('whole.mts', model(''));
    await place.says(0, 'held (loss', 'audit', 'whole.mts');
    await place.says(0, /a\/linear#0 {2}\[5, 4\] {2}.*whole\.mts:9:/, 'audit', 'whole.mts', '--edges');
  });

  it('writes every report, several at once', async () => {
    place.write('net.mts', severed());
    const files = ['json', 'junit', 'sarif', 'github', 'html'].map((name) => `--reporter=${name}=report.${name}`);
    await place.says(1, "severed at 'detach'", 'audit', 'net.mts', '--reporter', 'text', ...files);
    const json: unknown = JSON.parse(place.read('report.json'));
    expect(json).toMatchObject({
      results: [
        { status: 'red', data: { findings: [{ kind: 'severed', op: 'detach', parameters: ['a.weight', 'a.bias'] }] } },
      ],
    });
    expect(place.read('report.junit')).toMatch(/<testsuite name="audit net\.mts" tests="20" failures="1"/);
    expect(place.read('report.github')).toMatch(/^::error file=net\.mts,line=9,col=\d+,title=gradproof severed::/);
    const sarif: unknown = JSON.parse(place.read('report.sarif'));
    expect(sarif).toMatchObject({
      version: '2.1.0',
      runs: [
        {
          results: [
            {
              ruleId: 'severed',
              locations: [{ physicalLocation: { artifactLocation: { uri: 'net.mts' }, region: { startLine: 9 } } }],
            },
          ],
        },
      ],
    });
    expect(place.read('report.html')).not.toMatch(/(?:src|href)=/);
  });

  it('refuses an unknown reporter before it runs anything', async () => {
    await place.refuses(2, "Did you mean 'sarif'?", 'audit', 'net.mts', '--reporter', 'sarf');
    await place.refuses(2, 'needs a file', 'audit');
  });

  it.each([
    ['throws', 'throw new Error("no such data");', /no such data[^]*throws\.mjs:1/],
    ['exports something else', 'export default 3;', 'defineSubject'],
    ['has a loss of another shape', severed(false).replace('.square().mean()', ''), 'one element, got shape [5, 2]'],
    ['has a loss that throws', severed(false).replace('.square()', '.squared()'), 'squared is not a function'],
  ])('could not run a file that %s', async (name, content, words) => {
    const file = name === 'throws' ? 'throws.mjs' : `${name.replaceAll(' ', '_')}.mjs`;
    place.write(file, content);
    await place.says(3, words, 'audit', file);
  });

  it('ends a file that loops, and a device that is not there', async () => {
    place.write('loops.mjs', 'for (;;);');
    const { code, out } = place.run('audit', 'loops.mjs', '--timeout', '2');
    expect([code, out]).toEqual([3, expect.stringContaining('did not end within 2 s')]);
    await place.says(3, 'could not run', 'audit', 'whole.mts', '--device', 'nowhere');
  });

  it('lets red win over could-not-run', async () => {
    await place.says(1, '1 red, 1 could not run', 'audit', 'throws.mjs', 'net.mts');
  });
});

describe('gradproof prove', () => {
  it('shows that the checks of a model notice, and says so in numbers', async () => {
    place.write('whole.mts', model(''));
    await place.says(0, /held \(20 of \d+ mutants[^]*the same bits/, 'prove', 'whole.mts', '--budget', '20');
  });

  it('is red for a model that is broken already', async () => {
    place.write('net.mts', severed());
    await place.says(1, 'gradients is red without any fault', 'prove', 'net.mts', '--budget', '5');
  });
});
