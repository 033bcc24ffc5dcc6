// The audit names the line of this file, whoever took the types away: Node itself, tsx, or a compiler with source maps.
import { audit, nn, ones, type Tensor } from 'gradproof';

interface Sizes {
  readonly width: number;
}

const sizes: Sizes = { width: 2 };

class Cut extends nn.Module {
  readonly a: nn.Linear = new nn.Linear(sizes.width, sizes.width);
  readonly b: nn.Linear = new nn.Linear(sizes.width, 1);
  override forward(x: Tensor): Tensor {
    return this.b.forward(this.a.forward(x).detach());
  }
}

const { findings } = audit(new Cut(), (m: Cut): Tensor => m.forward(ones([3, sizes.width])).sum());
const at = findings[0]?.at ?? 'nowhere';
console.log(`${process.version}: ${findings.length} finding at ${at}`);
// the line and column of .detach() above, and of no other file
if (findings.length !== 1 || !/lines-run\.mts:14:45$/.test(at)) process.exitCode = 1;
