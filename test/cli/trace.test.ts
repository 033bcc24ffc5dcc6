/** gradproof record and compare: from a subject's file to the first layer that differs. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Place, root } from './harness.js';

const place = new Place();

const subject = (activation: string): string => `
  import * as gp from ${JSON.stringify(join(root, 'lib/index.ts'))};
  export default gp.defineSubject(() => {
    gp.manualSeed(4);
    const module = new gp.nn.Sequential(new gp.nn.Linear(3, 4), new gp.nn.${activation}, new gp.nn.Linear(4, 1));
    const x = gp.randn([5, 3]);
    return { module, loss: (m) => m.forward(x).square().mean() };
  });`;

describe('gradproof record and compare', () => {
  it('find the layer in which two models differ', async () => {
    place.write('a.mts', subject('GELU()'));
    place.write('b.mts', subject("GELU({ approximate: 'tanh' })"));
    await place.says(0, '22 events in', 'record', 'a.mts', '--out', 'a', '--lr', '0.1');
    await place.says(0, '22 events in', 'record', 'b.mts', '--out', 'b', '--lr', '0.1');
    await place.says(0, 'none differs', 'compare', 'a', 'a');
    await place.says(1, 'first difference: forward of 1,', 'compare', 'a', 'b');
    const { out } = await place.here('compare', 'a', 'b', '--json', '--tolerance', '1e-9');
    expect(JSON.parse(out)).toMatchObject({ ok: false, first: { phase: 'forward', path: '1' } });
    await place.says(0, 'none differs', 'compare', 'a', 'b', '--tolerance', '1');
    await place.says(1, 'first difference', 'compare', 'a', 'b', '--html', 'heat.html');
    const page = place.read('heat.html');
    expect(page).toContain('First difference: forward of 1, in the order of execution.');
    expect(page.match(/<td class="first"/g)).toHaveLength(1);
    // one row per layer, parameter and the model; nothing to fetch, nothing to run
    expect(page.match(/<tr><th>/g)?.length).toBeGreaterThanOrEqual(7);
    expect(page).not.toMatch(/<script|https?:|src=/);
    await place.refuses(1, 'none/heat.html', 'compare', 'a', 'b', '--html', 'none/heat.html');
  });

  it('sweep many batches and name the worst', async () => {
    for (const side of ['left', 'right']) {
      for (const seed of ['1', '2']) {
        const file = side === 'right' && seed === '2' ? 'b.mts' : 'a.mts';
        await place.says(0, 'events in', 'record', file, '--out', `${side}/batch-${seed}`);
      }
    }
    await place.says(1, /first difference: forward of 1, relative \S+ in batch-2/, 'sweep', 'left', 'right');
    await place.says(0, 'none differs', 'sweep', 'left', 'left');
    await place.says(0, 'events in', 'record', 'a.mts', '--out', 'left/batch-3');
    await place.says(1, 'only in A: batch-3', 'sweep', 'left', 'right');
    await place.refuses(1, 'no trace of the same name', 'sweep', 'a', 'b');
  });

  it('leave nothing behind of a step that fails', async () => {
    place.write('broken.mts', subject('GELU()').replace('.mean()', ''));
    await place.refuses(1, 'scalar', 'record', 'broken.mts', '--out', 'broken');
    expect(existsSync(place.at('broken'))).toBe(false);
    expect(readdirSync(place.folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('say what was wrong with the command', async () => {
    await place.refuses(2, 'is not empty', 'record', 'a.mts', '--out', 'a');
    await place.refuses(2, 'needs two trace folders', 'compare', 'a');
    await place.refuses(1, 'manifest.json', 'compare', 'a', 'nowhere');
    place.write('map.json', '{"x": 3}');
    await place.refuses(2, 'must be an object of names', 'compare', 'a', 'b', '--map', 'map.json');
  });
});
