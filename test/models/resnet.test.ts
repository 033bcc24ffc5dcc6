/** ResNet: torchvision's layout, and that it trains. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { models, optim } from 'gradproof';

describe('ResNet', () => {
  it("has torchvision's resnet18 layout: 122 entries, 11,689,512 parameters", () => {
    const model = new models.ResNet();
    const names = Object.keys(model.stateDict());
    expect(names.length).toBe(122); // len(torchvision.models.resnet18().state_dict())
    expect(model.parameters().reduce((n, p) => n + p.numel, 0)).toBe(11_689_512); // as torchvision's documentation says
    expect(names.slice(0, 8)).toEqual([
      'conv1.weight',
      'bn1.weight',
      'bn1.bias',
      'bn1.running_mean',
      'bn1.running_var',
      'bn1.num_batches_tracked',
      'layer1.0.conv1.weight',
      'layer1.0.bn1.weight',
    ]);
    expect(names).toContain('layer2.0.downsample.1.running_var');
  });

  it('a narrow one learns a batch by heart, captured, with the bits of eager', () => {
    const run = (compile: boolean): number[] => {
      gp.manualSeed(1);
      const model = new models.ResNet({ width: 4, blocks: [1, 1, 1, 1], classes: 3, smallImages: true });
      const opt = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
      const x = gp.randn([6, 3, 8, 8]);
      const y = gp.randint(0, 3, [6]);
      const step = (): gp.Tensor => {
        opt.zeroGrad();
        const loss = gp.crossEntropy(model.forward(x), y);
        loss.backward();
        opt.step();
        return loss;
      };
      const fast = compile ? gp.compile(step) : step;
      return Array.from({ length: 12 }, () => fast().item());
    };
    const eager = run(false);
    expect(run(true)).toEqual(eager);
    expect(eager.at(-1)).toBeLessThan(0.3 * eager[0]!);
  });
});
