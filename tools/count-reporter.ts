/**
 * The vitest reporter behind the plain last line `N passed, N failed[, N skipped]`. An unhandled error counts as a
 * failure, and so does a file that fails without a failing test (a crash, a failed import).
 */
import type { Reporter, TestModule } from 'vitest/node';

export default class CountReporter implements Reporter {
  #line = '0 passed, 1 failed';

  constructor() {
    // From 'exit', so that it comes after whatever the other reporters print.
    process.on('exit', () => process.stdout.write(`${this.#line}\n`));
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    let skipped = 0;
    for (const module of modules) {
      let failedHere = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state === 'skipped') skipped++;
        else failedHere++;
      }
      if (failedHere === 0 && module.state() === 'failed') failedHere = 1;
      failed += failedHere;
    }
    if (modules.length === 0) failed = Math.max(failed, 1);
    this.#line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  }
}
