"""Records one step of any torch.nn.Module as a trace folder that `gradproof compare` and gp.loadTrace read.

    from trace import record
    with record(model, "run/torch", scale=1) as trace:
        loss = loss_of(model(x))
        loss.backward()
        trace.gradients_used()   # after clipping, before optimizer.step()
        optimizer.step()

Phases, names and order are those of lib/record: outputs by module path, the gradient of each output, parameters before and after,
raw and used gradients. A container that returns what its last child made has no event of its own; the outermost module's output has
its gradient as `loss_gradient`. `scale` is the batch size where the loss is a mean over it. Needs torch and numpy.
"""
import json
import pathlib
import re

import numpy
import torch


class record:
    def __init__(self, model, folder, scale=1.0):
        self.model, self.scale = model, float(scale)
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: a trace is never written over")
        self.events, self.counts, self.handles, self.outputs, self.depth = [], {}, [], {}, 0

    def emit(self, phase, path, tensor):
        call = self.counts.get((phase, path), 0)
        self.counts[phase, path] = call + 1
        event = dict(order=len(self.events), phase=phase, path=path, call=call, shape=[], dtype=None, file=None)
        if tensor is not None:
            values = tensor.detach().cpu()
            names = {torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64"}
            event["dtype"] = names.get(values.dtype, "f32")
            if event["dtype"] in ("f16", "bf16"):
                values = values.float()
            event["shape"] = list(values.shape)
            event["file"] = f"{event['order']:04d}_{phase}_{re.sub(r'[^A-Za-z0-9_.-]', '_', path or 'model')}.npy"
            numpy.save(self.folder / event["file"], values.contiguous().numpy())
        self.events.append(event)

    def entered(self, _module, _inputs):
        self.depth += 1

    def left(self, path):
        def hook(_module, _inputs, output):
            self.depth -= 1
            for t in output if isinstance(output, (tuple, list)) else [output]:
                if not isinstance(t, torch.Tensor):
                    continue
                seen = self.outputs.get(id(t))
                if seen is not None:
                    seen["outermost"] |= self.depth == 0
                    continue
                mark = self.outputs[id(t)] = dict(outermost=self.depth == 0, keep=t)
                self.emit("forward", path, t)
                if not t.requires_grad:
                    self.emit("frozen", path, None)
                    continue
                t.register_hook(
                    lambda g, m=mark: self.emit(
                        "loss_gradient" if m["outermost"] else "activation_gradient", "" if m["outermost"] else path, g
                    )
                )

        return hook

    def gradients_used(self):
        for name, p in self.model.named_parameters():
            if p.grad is not None:
                self.emit("gradient_used", name, p.grad)

    def __enter__(self):
        for name, p in self.model.named_parameters():
            self.emit("parameter_before", name, p)
            if not p.requires_grad:
                self.emit("frozen", name, None)
            else:
                hook = lambda q, n=name: self.emit("gradient_raw", n, q.grad)
                self.handles.append(p.register_post_accumulate_grad_hook(hook))
        for path, module in self.model.named_modules():
            self.handles += [module.register_forward_pre_hook(self.entered), module.register_forward_hook(self.left(path))]
        return self

    def __exit__(self, kind, *_):
        for handle in self.handles:
            handle.remove()
        if kind is not None:
            return
        for name, p in self.model.named_parameters():
            self.emit("parameter_after", name, p)
        manifest = dict(format="gradproof.trace", version=1, scale=self.scale, events=self.events)
        (self.folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
