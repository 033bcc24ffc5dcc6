/** The guide docs/broken_model.md: a classifier with attention whose loss falls although a third of it is never trained. */
import * as gp from 'gradproof';
import { nn, optim } from 'gradproof';

class Attention extends nn.Module {
  /** Whether the line that breaks it is mended. */
  readonly mended: boolean;
  readonly query = new nn.Linear(16, 16);
  readonly key = new nn.Linear(16, 16, { bias: false });
  readonly value = new nn.Linear(16, 16);

  constructor(mended: boolean) {
    super();
    this.mended = mended;
  }

  override forward(x: gp.Tensor): gp.Tensor {
    const scores = this.query.forward(x).matmul(this.key.forward(x).transpose(-2, -1)).div(4);
    if (this.mended) return scores.softmax(-1).matmul(this.value.forward(x));
    const largest = Math.max(...scores.data('f32')); // to keep exp() small
    const weights = gp.tensor(scores.data('f32').map((s) => Math.exp(s - largest))).reshape(scores.shape);
    return weights.div(weights.sum(-1, { keepdim: true })).matmul(this.value.forward(x));
  }
}

export class Classifier extends nn.Module {
  readonly embedding = new nn.Embedding(20, 16);
  readonly attention: Attention;
  readonly head = new nn.Linear(16, 4);

  constructor(mended = false) {
    super();
    this.attention = new Attention(mended);
  }

  override forward(ids: gp.Tensor): gp.Tensor {
    const x = this.embedding.forward(ids);
    return this.head.forward(x.add(this.attention.forward(x)).mean(1));
  }
}

gp.manualSeed(0);
export const ids = gp.randint(0, 20, [64, 8]);
export const labels = gp.tensor(
  ids.toArray(2).map((row) => (row[0]! + row[1]!) % 4),
  { dtype: 'i64' },
);

export function train(model: Classifier, steps: number): number[] {
  const opt = new optim.AdamW(model.parameters(), { lr: 3e-3 });
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    opt.zeroGrad();
    const loss = gp.crossEntropy(model.forward(ids), labels);
    loss.backward();
    opt.step();
    losses.push(loss.item());
  }
  return losses;
}

export default gp.defineSubject(() => {
  gp.manualSeed(1);
  return { module: new Classifier(), loss: (model) => gp.crossEntropy(model.forward(ids), labels) };
});
