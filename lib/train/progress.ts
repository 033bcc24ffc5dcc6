/** The live line of a run: rewritten in place on a terminal, plain lines elsewhere. */

export interface Progress {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly validation?: number | undefined;
  readonly itemsPerSecond: number;
  /** What an item is: 'tokens', 'rows'. */
  readonly items: string;
  /** Seconds until the end, as far as known. */
  readonly eta: number;
}

/** `1:02:03`, `2:03`, `3 s`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const two = (n: number): string => String(n).padStart(2, '0');
  const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** 1234567 → `1.2M`. */
export function compact(n: number): string {
  if (!Number.isFinite(n)) return '–';
  if (n >= 1e6) return `${(n / 1e6).toFixed(1)}M`;
  return n >= 1e3 ? `${(n / 1e3).toFixed(1)}k` : n.toFixed(0);
}

export function progressLine(p: Progress): string {
  const width = String(p.steps).length;
  const parts = [
    `step ${String(p.step).padStart(width)}/${p.steps}`,
    `loss ${p.loss.toFixed(4)}`,
    p.validation === undefined ? '' : `val ${p.validation.toFixed(4)}`,
    `${compact(p.itemsPerSecond)} ${p.items}/s`,
    `ETA ${duration(p.eta)}`,
  ];
  return parts.filter((part) => part !== '').join('  ');
}

export interface Terminal {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** On a terminal at most ten updates a second; elsewhere a line at every evaluation and every ten seconds. */
export class ProgressLine {
  readonly #out: Terminal;
  readonly #now: () => number;
  #shown = false;
  #last = -Infinity;

  constructor(out: Terminal = process.stdout, now: () => number = () => performance.now()) {
    this.#out = out;
    this.#now = now;
  }

  /** `important`: an evaluation, or the end. */
  update(progress: Progress, important = false): void {
    const live = this.#out.isTTY === true;
    const now = this.#now();
    if (!important && now - this.#last < (live ? 100 : 10_000)) return;
    this.#last = now;
    const line = progressLine(progress);
    if (!live) this.#out.write(`${line}\n`);
    else {
      this.#out.write(`\r\x1b[2K${line.slice(0, (this.#out.columns ?? 80) - 1)}`);
      this.#shown = true;
    }
  }

  /** Prints a line of its own above the live line. */
  print(line: string): void {
    this.end();
    this.#out.write(`${line}\n`);
  }

  /** Leaves the live line as it stands. */
  end(): void {
    if (this.#shown) this.#out.write('\n');
    this.#shown = false;
  }
}
