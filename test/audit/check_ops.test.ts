import { describe, expect, it } from 'vitest';
import { checkOp } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { findOp } from '../../lib/ops/gateway/registry.js';

const check = (name: string) => checkOp(findOp(name)!);

/** x² with a gradient that is 1.5 times too large. */
gp.defineOp({
  name: 'test_wrong_square',
  doc: 'x², with a wrong gradient.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: ['f32'],
  infer: ({ x }) => ({ y: x }),
  reference: ({ x }) => ({ y: x.square() }),
  gradient: { kind: 'rule', needs: ['x'], backward: ({ y: dy }, { x }) => ({ x: dy.mul(x).mul(3) }) },
  *samples(s) {
    yield { in: { x: s.randn([3]) } };
  },
});

describe('the check of an op', () => {
  it('passes sound ops with every sample of their declaration', () => {
    expect(check('matmul')).toMatchObject({ status: 'passed', message: undefined });
    expect(check('matmul').samples).toBeGreaterThan(1);
    expect(check('cat').status).toBe('passed');
  });

  it('fails an op whose gradient is 1.5 times too large, and says where', () => {
    const { status, message } = check('test_wrong_square');
    expect([status, message]).toEqual(['failed', expect.stringMatching(/analytic .*, numeric /)]);
  });

  it('says why an op has no gradient, and where a gradient is 0 everywhere', () => {
    expect(check('eq')).toMatchObject({ status: 'not differentiable', samples: 0 });
    expect(check('eq').message).not.toBe('');
    expect(check('add_').message).toContain('in place');
  });
});
