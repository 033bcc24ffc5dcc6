/** The gradient of a table of which a step used few rows. Only the backward engine and optimizers see it. */
import type { Shape } from './shape.js';
import { Tensor } from './tensor.js';

/**
 * The tensor itself holds the rows, [n, width]; `ids` (i64 [n]) says which rows of the table they are: each at most once,
 * ascending, then −1 behind the last one. All other rows of the gradient are 0.
 */
export class RowGradient extends Tensor {
  readonly ids: Tensor;
  readonly table: Shape;
  /** Whether a leaf may keep it by rows (`sparse: true`); otherwise the engine makes it whole unless it can add it to something. */
  readonly sparse: boolean;

  constructor(rows: Tensor, ids: Tensor, table: Shape, sparse: boolean) {
    super(rows.storage, rows.shape, rows.stride, rows.offset, rows.dtype);
    this.ids = ids;
    this.table = table;
    this.sparse = sparse;
  }
}
