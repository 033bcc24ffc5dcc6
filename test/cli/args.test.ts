import { describe, expect, it } from 'vitest';
import { helpText, parse, type CommandSpec } from '../../lib/cli/args.js';
import { isError } from '../../lib/errors.js';

const spec: CommandSpec = {
  name: 'train',
  summary: 'Trains.',
  positionals: '[FILE]',
  most: 1,
  options: {
    steps: { kind: 'integer', default: 10, min: 1, help: 'how many' },
    lr: { kind: 'number', default: 0.1, min: 0, above: true, help: 'rate' },
    dtype: { kind: 'word', value: 'D', default: 'f32', choices: ['f32', 'f64'], help: 'type' },
    out: { kind: 'word', value: 'PATH', help: 'where' },
    eager: { kind: 'flag', help: 'no capture', short: 'e' },
  },
};

function refusal(...argv: string[]): string {
  try {
    parse(spec, argv);
  } catch (error) {
    if (isError(error, 'ERR_USAGE')) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('options', () => {
  it('are read by their kind, with defaults', () => {
    const args = parse(spec, ['data.txt', '--steps', '20', '--dtype=f64', '-e']);
    expect([args.number('steps'), args.number('lr'), args.word('dtype'), args.flag('eager')]).toEqual([
      20,
      0.1,
      'f64',
      true,
    ]);
    expect([args.positionals, args.optionalWord('out'), args.given('lr')]).toEqual([['data.txt'], undefined, false]);
  });

  it('that are unknown are refused with the one that was probably meant', () => {
    expect(refusal('--step', '3')).toBe('gradproof train has no option --step. Did you mean --steps?');
    expect(refusal('--zzz')).toContain('See gradproof train --help');
  });

  it('with a wrong value are refused with what was expected', () => {
    expect(refusal('--steps', '0')).toBe("--steps must be an integer >= 1, got '0'.");
    expect(refusal('--steps', '1.5')).toContain('an integer');
    expect(refusal('--steps', 'many')).toContain("got 'many'");
    expect(refusal('--lr', '0')).toBe("--lr must be a number > 0, got '0'.");
    expect(refusal('--lr', 'NaN')).toContain('a number > 0');
    expect(refusal('--lr', '-1')).toContain('a number > 0');
    expect(refusal('--lr')).toBe('--lr needs a value.');
    expect(refusal('--dtype', 'f16')).toBe("--dtype must be one of f32, f64, got 'f16'.");
    expect(refusal('--eager=yes')).toContain('takes no value');
  });

  it('leave no room for more arguments than the command takes', () => {
    expect(refusal('a', 'b')).toContain("got 'b'");
  });

  it('are all shown by --help, with their defaults', () => {
    const text = helpText(spec);
    for (const name of Object.keys(spec.options)) expect(text).toContain(`--${name}`);
    expect(text).toContain('how many [10]');
    expect(text).toContain('-h, --help');
  });
});
