/** The digits of examples/data, split into images to train on and images to test on. */
import { join } from 'node:path';
import * as gp from 'gradproof';

type Digits = gp.data.TensorDataset<{ x: gp.Tensor; y: gp.Tensor }>;

/** Images as f32 [N, 1, 8, 8] in 0 … 1, labels as i64 [N]: the first 1437 to train on, the last 360 to test on. */
export async function loadDigits(): Promise<{ train: Digits; test: Digits }> {
  const folder = join(import.meta.dirname, 'data');
  const images = (await gp.io.loadNpy(join(folder, 'digits.images.npy'))).to('f32').div(16).unsqueeze(1);
  const labels = (await gp.io.loadNpy(join(folder, 'digits.labels.npy'))).to('i64');
  const part = (start: number, length: number): Digits =>
    new gp.data.TensorDataset({ x: images.narrow(0, start, length), y: labels.narrow(0, start, length) });
  return { train: part(0, 1437), test: part(1437, 360) };
}
