/** Residual networks of basic blocks (He, Zhang, Ren and Sun, 2016), with torchvision's names: resnet18 and resnet34. */
import * as nn from '../nn/index.js';
import type { Tensor } from '../tensor/tensor.js';

/** Two convolutions 3×3 with batch normalisation around a shortcut; the first may halve the image. */
export class BasicBlock extends nn.Module {
  readonly conv1: nn.Conv2d;
  readonly bn1: nn.BatchNorm2d;
  readonly conv2: nn.Conv2d;
  readonly bn2: nn.BatchNorm2d;
  /** Convolution 1×1 and normalisation where the shapes differ. */
  readonly downsample: nn.Sequential | null;

  constructor(inChannels: number, channels: number, stride = 1) {
    super();
    this.conv1 = new nn.Conv2d(inChannels, channels, 3, { stride, padding: 1, bias: false });
    this.bn1 = new nn.BatchNorm2d(channels);
    this.conv2 = new nn.Conv2d(channels, channels, 3, { padding: 1, bias: false });
    this.bn2 = new nn.BatchNorm2d(channels);
    const same = stride === 1 && inChannels === channels;
    this.downsample = same
      ? null
      : new nn.Sequential(
          new nn.Conv2d(inChannels, channels, 1, { stride, bias: false }),
          new nn.BatchNorm2d(channels),
        );
  }

  override forward(x: Tensor): Tensor {
    const y = this.bn2.forward(this.conv2.forward(this.bn1.forward(this.conv1.forward(x)).relu()));
    const shortcut = this.downsample === null ? x : this.downsample.forward(x);
    return y.add(shortcut).relu();
  }
}

export interface ResNetOptions {
  /** Blocks per stage; default [2, 2, 2, 2], resnet18. [3, 4, 6, 3] is resnet34. */
  readonly blocks?: readonly number[] | undefined;
  /** Channels of the first stage, doubled by every further one. Default 64. */
  readonly width?: number | undefined;
  /** Default 3. */
  readonly inChannels?: number | undefined;
  /** Default 1000. */
  readonly classes?: number | undefined;
  /** For images of some 32×32: the stem is one convolution 3×3 that keeps the size. Default false: 7×7 and pooling. */
  readonly smallImages?: boolean | undefined;
}

/** Images [B, inChannels, H, W] → logits [B, classes]. */
export class ResNet extends nn.Module {
  readonly conv1: nn.Conv2d;
  readonly bn1: nn.BatchNorm2d;
  readonly maxpool: nn.MaxPool2d | null;
  readonly layer1: nn.Sequential;
  readonly layer2: nn.Sequential;
  readonly layer3: nn.Sequential;
  readonly layer4: nn.Sequential;
  readonly avgpool = new nn.AdaptiveAvgPool2d(1);
  readonly fc: nn.Linear;

  constructor(options: ResNetOptions = {}) {
    super();
    const { blocks = [2, 2, 2, 2], width = 64, inChannels = 3, classes = 1000, smallImages = false } = options;
    this.conv1 = smallImages
      ? new nn.Conv2d(inChannels, width, 3, { padding: 1, bias: false })
      : new nn.Conv2d(inChannels, width, 7, { stride: 2, padding: 3, bias: false });
    this.bn1 = new nn.BatchNorm2d(width);
    this.maxpool = smallImages ? null : new nn.MaxPool2d(3, { stride: 2, padding: 1 });
    const stage = (index: number): nn.Sequential => {
      const channels = width * 2 ** index;
      const before = index === 0 ? width : channels / 2;
      const count = blocks[index] ?? 0;
      const list = Array.from({ length: count }, (_, i) =>
        i === 0 ? new BasicBlock(before, channels, index === 0 ? 1 : 2) : new BasicBlock(channels, channels),
      );
      return new nn.Sequential(...list);
    };
    this.layer1 = stage(0);
    this.layer2 = stage(1);
    this.layer3 = stage(2);
    this.layer4 = stage(3);
    this.fc = new nn.Linear(width * 8, classes);
    for (const module of this.modules()) if (module instanceof nn.Conv2d) kaimingFanOut(module);
  }

  override forward(x: Tensor): Tensor {
    const stem = this.bn1.forward(this.conv1.forward(x)).relu();
    const pooled = this.maxpool === null ? stem : this.maxpool.forward(stem);
    const features = this.layer4.forward(this.layer3.forward(this.layer2.forward(this.layer1.forward(pooled))));
    return this.fc.forward(this.avgpool.forward(features).flatten(1));
  }
}

/** Normal with variance 2 / fanOut (He et al., 2015), as torchvision starts its convolutions. */
function kaimingFanOut(conv: nn.Conv2d): void {
  nn.init.kaimingNormal_(conv.weight, { mode: 'fanOut', nonlinearity: 'relu' });
}
