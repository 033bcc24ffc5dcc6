/**
 * The pages in a real browser, without network: GRADPROOF_CHROMIUM, or a Chromium or Chrome where distributions put it. Where
 * there is none these tests are skipped and the report says so.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { audit } from '../../lib/audit/index.js';
import { auditOutcome, render } from '../../lib/contracts/report/index.js';
import * as gp from '../../lib/index.js';
import { nn } from '../../lib/index.js';
import { compareTraces, type Trace } from '../../lib/record/index.js';
import { renderHeatMap } from '../../lib/record/heatmap.js';
import { Made } from '../audit/made.js';

const PLACES = [
  process.env['GRADPROOF_CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];
const executablePath = PLACES.find((place) => place !== '' && existsSync(place));

/** Two branches; the first is cut by a detach. */
function cutModel(): Made {
  gp.manualSeed(3);
  const x = gp.randn([6, 4]);
  const c = gp.randn([6, 3]);
  return new Made({ a: new nn.Linear(4, 4), b: new nn.Linear(4, 3) }, (m) =>
    m.on('b', m.on('a', x).tanh().detach().add(x)).mul(c).sum(),
  );
}

describe.skipIf(executablePath === undefined)('in a browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gradproof-page-'));
  let browser: Browser;
  const heard: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath ?? '' });
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(html: string, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
    const file = join(folder, 'page.html');
    writeFileSync(file, html);
    const context = await browser.newContext({ offline: true, colorScheme, viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    heard.length = 0;
    page.on('console', (message) => heard.push(message.text()));
    page.on('pageerror', (error) => heard.push(error.message));
    page.on('request', (request) => {
      if (request.url() !== pathToFileURL(file).href) heard.push(request.url());
    });
    await page.goto(pathToFileURL(file).href);
    return page;
  }

  describe('the report of an audit', () => {
    const model = cutModel();
    const report = audit(model, (m) => m.forward());
    const page = render('html', [auditOutcome('model.ts', report, 1, false)]);
    const transform = (at: Page): Promise<string | null> => at.locator('svg > g').getAttribute('transform');

    it.each(['light', 'dark'] as const)('draws the cut in red, %s, and asks nobody for anything', async (scheme) => {
      const at = await open(page, scheme);
      const cut = at.locator('.edge.cut');
      expect(await cut.count()).toBe(1);
      expect(await cut.getAttribute('data-to')).toBe('detach#0');
      const color = (where: string): Promise<unknown> =>
        at.evaluate(`getComputedStyle(document.querySelector(${JSON.stringify(where)})).stroke`);
      const red = scheme === 'light' ? 'rgb(198, 40, 40)' : 'rgb(255, 107, 107)';
      expect([await color('.edge.cut'), await color('.node.cut rect')]).toEqual([red, red]);
      expect(await color('.edge[data-to="b/linear#0"][data-from="add#0"]')).not.toBe(red);
      // the two parameters behind it, and the op itself
      const broken = await at.evaluate("[...document.querySelectorAll('.node.cut')].map((n) => n.dataset.id).sort()");
      expect(broken).toEqual(['a.bias', 'a.weight', 'detach#0']);
      expect(heard).toEqual([]);
      await at.context().close();
    });

    it('tells shape, line and norms of an op that is clicked, and of a parameter', async () => {
      const at = await open(page);
      await at.locator('.node[data-id="b/linear#0"]').click();
      const aside = await at.locator('aside').innerText();
      expect(aside).toMatch(/shape\s+\[6, 3\]/);
      expect(aside).toMatch(/line\s+\S*made\.ts:\d+:\d+/);
      expect(aside).toMatch(/rms of the result\s+0\.\d+/);
      expect(aside).toMatch(/rms of its gradient\s+\d\.\d+/);
      await at.locator('.node[data-id="a.weight"]').click();
      expect(await at.locator('aside').innerText()).toMatch(/gradient norm\s+none arrived\s[^]*finding\s+severed/);
      await at.locator('.findings button').click();
      expect(await at.locator('.node.chosen').getAttribute('data-id')).toBe('detach#0');
      expect(await at.locator('aside').innerText()).toContain('detach() drops the history');
      expect(heard).toEqual([]);
      await at.context().close();
    });

    it('moves with the pointer and zooms with the wheel where the pointer is', async () => {
      const at = await open(page);
      const before = await transform(at);
      const box = await at.locator('.graph svg').boundingBox();
      if (box === null) throw new Error('the graph has no place');
      await at.mouse.move(box.x + box.width - 30, box.y + box.height - 40);
      await at.mouse.down();
      await at.mouse.move(box.x + box.width - 130, box.y + box.height - 90);
      await at.mouse.up();
      const moved = await transform(at);
      expect(moved).not.toBe(before);
      const node = at.locator('.node[data-id="b/linear#0"] rect');
      const small = await node.boundingBox();
      if (small === null) throw new Error('the op has no place');
      await at.mouse.move(small.x + 5, small.y + 5);
      await at.mouse.wheel(0, -300);
      await expect.poll(async () => (await node.boundingBox())?.width ?? 0).toBeGreaterThan(1.5 * small.width);
      const large = await node.boundingBox();
      expect(Math.abs((large?.x ?? 0) - small.x)).toBeLessThan(20);
      await at.locator('.tools button[name="fit"]').click();
      expect(await transform(at)).toBe(before);
      expect(heard).toEqual([]);
      await at.context().close();
    });

    it('shows a text that looks like markup as text', async () => {
      const outcome = auditOutcome('</script><img src=x>.ts', report, 1, false);
      const at = await open(render('html', [outcome]));
      expect(await at.locator('img').count()).toBe(0);
      expect(await at.locator('h2').innerText()).toContain('</script><img src=x>.ts');
      expect(heard).toEqual([]);
      await at.context().close();
    });
  });

  it('the heat map of a comparison has one cell per layer and phase, the first difference framed', async () => {
    const traceOf = (off: number): Trace => {
      gp.manualSeed(5);
      const net = new nn.Sequential(new nn.Linear(4, 5), new nn.Tanh(), new nn.Linear(5, 2));
      const x = gp.randn([3, 4]);
      const last = net.at(2);
      if (off !== 0 && last instanceof nn.Linear) gp.noGrad(() => last.weight.add_(off));
      return gp.record(() => net.forward(x).square().mean().backward());
    };
    const compared = compareTraces(traceOf(0.5), traceOf(0));
    const at = await open(renderHeatMap(compared, 'A against B'));
    const first = at.locator('td.first');
    expect(await first.count()).toBe(1);
    expect(await at.locator('tr:has(td.first) > th').innerText()).toBe('2.weight');
    expect(await at.locator('h1 + p').innerText()).toContain('First difference');
    expect(heard).toEqual([]);
    await at.context().close();
  });
});
