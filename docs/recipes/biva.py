"""The bound, images and classes of a biva, staged_lvae or staged_vae.

    biva.py MODEL --images glyphs.npz --samples 50

Of a model with classes, log w is that of the likeliest class, as `rung evaluate` has it.
"""

import math
import torch
import torch.nn.functional as F
from common import (
    LatentModel,
    chosen_classes,
    convolve,
    draw,
    flat,
    log_normal,
    main,
    one_hot,
    standard_normal,
    transpose,
    unflat,
)
from pixels import pixels


class Biva(LatentModel):
    def __init__(self, path):
        super().__init__(path)
        self.stages = self.config["stages"]
        self.bottom_up = self.config["family"] in ("biva", "staged_vae")
        self.top_down = self.config["family"] in ("biva", "staged_lvae")
        if self.config["flat_images"]:
            self.map = [math.prod(self.shape), 1, 1]
        else:
            self.map = self.shape
        bias = self.tensors.get("inference.y.logits.bias")
        self.classes = 0 if bias is None else len(bias)

    # ---- Layers.

    def weight(self, layer, axis):
        """g_o V_o/|V_o| for each output channel, which are on this axis."""
        direction, gain = self.tensors[layer + ".direction"], self.tensors[layer + ".gain"]
        others = [a for a in range(direction.dim()) if a != axis]
        shape = [-1 if a == axis else 1 for a in range(direction.dim())]
        return direction * (gain.view(shape) / direction.pow(2).sum(others, keepdim=True).sqrt())

    def dense(self, layer, x):
        return x @ self.weight(layer, 1) + self.tensors[layer + ".bias"]

    def convolution(self, layer, x, stride=1):
        return convolve(
            x, self.weight(layer, 3).permute(3, 2, 0, 1), self.tensors[layer + ".bias"], stride
        )

    def transposed(self, layer, x, stride):
        return transpose(
            x, self.weight(layer, 2).permute(3, 2, 0, 1), self.tensors[layer + ".bias"], stride
        )

    def block(self, name, x, aux=None, stride=1, enlarges=False, residual=True):
        """b_1 sigmoid(b_2) + residual, [b_1 | b_2] = W_b * e(W_a * e(x) + W_aux * e(aux))."""
        hidden = self.convolution(name + ".first", F.elu(x))
        if aux is not None and name + ".aux.gain" in self.tensors:
            a, ratio = F.elu(aux), aux.shape[2] / x.shape[2]
            if ratio >= 1:
                hidden = hidden + self.convolution(name + ".aux", a, round(ratio))
            else:
                hidden = hidden + self.transposed(name + ".aux", a, round(1 / ratio))
        hidden = F.elu(hidden)
        if enlarges and stride > 1:
            both = self.transposed(name + ".second", hidden, stride)
        else:
            both = self.convolution(name + ".second", hidden, stride)
        first, second = both.chunk(2, 1)
        y = first * torch.sigmoid(second)
        if not residual or y.shape[2] > x.shape[2] or y.shape[1] < x.shape[1]:
            return y
        pool = x.shape[2] // y.shape[2]
        short = F.avg_pool2d(x, pool) if pool > 1 else x
        return y + F.pad(short, [0, 0, 0, 0, 0, y.shape[1] - short.shape[1]])

    def head(self, name, features, stage):
        """Mean and variance of a group, [rows, units], from a map."""
        f = F.elu(features)
        if "latent_units" in stage:
            mean, r = self.dense(name, flat(f)).chunk(2, 1)
        else:
            mean, r = (flat(part) for part in self.convolution(name, f).chunk(2, 1))
        kind = self.config["log_variance"]
        if kind == "softplus":
            return mean, torch.exp(F.softplus(r) + 1e-8)
        if kind == "free":
            return mean, torch.exp(r)
        return mean, (F.softplus(r * math.log(2)) / math.log(2) + 1e-6) ** 2

    def projection(self, name, samples, stage, map_shape, y=None):
        """A map of samples, and of classes as one-hot rows where there are any."""
        _, height, width = map_shape
        if "latent_units" in stage:
            return unflat(
                self.dense(name, torch.cat([*samples, *([] if y is None else [y])], 1)),
                height,
                width,
            )
        return self.with_class(torch.cat([unflat(z, height, width) for z in samples], 1), y)

    def with_class(self, features, y):
        """A channel for each class behind those of a map."""
        if y is None:
            return features
        return torch.cat([features, y[:, :, None, None].expand(-1, -1, *features.shape[2:])], 1)

    # ---- The two passes.

    def strides(self, stage):
        return stage.get("strides") or [1] * len(stage["kernels"])

    def stage_maps(self):
        """[channels, height, width] behind each stage of the bottom-up pass."""
        (_, height, width), maps = self.map, []
        for stage in self.stages:
            for stride in self.strides(stage):
                height, width = math.ceil(height / stride), math.ceil(width / stride)
            maps.append([stage["channels"], height, width])
        return maps

    def units(self, i):
        _, height, width = self.stage_maps()[i - 1]
        stage = self.stages[i - 1]
        return stage.get("latent_units") or stage["latent_channels"] * height * width

    def ascend(self, x):
        """What the bottom-up pass finds at each stage, and the features that q of the top and of
        the class read.
        """
        maps = self.stage_maps()
        up = x.view(-1, *self.map)
        if self.config["observation"] == "logistic_mixture":
            up = 2 * up - 1
        deterministic = up
        skip, found = None, []
        for i, stage in enumerate(self.stages, 1):
            name, features = f"inference.{i}", {}
            for k, stride in enumerate(self.strides(stage), 1):
                if self.bottom_up:
                    up = self.block(
                        f"{name}.bottom_up.{k}", up, skip, stride, residual=k > 1 or i > 1
                    )
            aux = (up if self.bottom_up else skip) if self.config["skips"] else None
            for k, stride in enumerate(self.strides(stage), 1):
                if self.top_down:
                    deterministic = self.block(
                        f"{name}.deterministic.{k}",
                        deterministic,
                        aux,
                        stride,
                        residual=k > 1 or i > 1,
                    )
            features["deterministic"] = deterministic
            streams = [up] * self.bottom_up + [deterministic] * self.top_down
            skip = torch.cat(streams, 1) if self.config["skips"] else None
            if self.bottom_up and i < len(self.stages):
                features["q"] = self.head(name + ".q", up, stage)
                features["z"] = draw(features["q"])
                up = self.projection(name + ".projection", [features["z"]], stage, maps[i - 1])
            found.append(features)
        return found, torch.cat([deterministic] * self.top_down + [up] * self.bottom_up, 1)

    def q_top(self, features, y):
        features = self.with_class(features, y)
        if self.top_down:
            features = self.block("inference.top.block", features)
        return self.head("inference.top.q", features, self.stages[-1])

    def log_q_class(self, features):
        """ln q(y | x, z) at the samples z of the bottom-up pass."""
        hidden = F.elu(self.block("inference.y.block", features, residual=False))
        return self.dense("inference.y.logits", flat(hidden)).log_softmax(1)

    def descend(self, z, y, group):
        """p(x | z, y) from a sample of the top. `group(i, role, p, g)` gives the sample of a
        group of stage i, of which p and the features g above it are known.
        """
        samples, above = [z], []
        for i in range(len(self.stages), 0, -1):
            stage, name = self.stages[i - 1], f"generative.{i}"
            g = self.projection(name + ".projection", samples, stage, self.stage_maps()[i - 1], y)
            outputs = []
            for k, stride in enumerate(self.strides(stage)[::-1], 1):
                aux = above[k - 1] if k <= len(above) else None
                g = self.block(f"{name}.block.{k}", g, aux, stride, enlarges=True, residual=k > 1)
                outputs.append(g)
            above = outputs if self.config["skips"] else []
            roles = ["top_down"] * self.top_down + ["bottom_up"] * self.bottom_up
            if i > 1:
                samples = [
                    group(
                        i - 1, role, self.head(f"{name}.below.p_{role}", g, self.stages[i - 2]), g
                    )
                    for role in roles
                ]
        features = F.elu(g)
        return pixels(self, self.convolution("generative.x", features), features)

    def log_weights(self, x):
        """log p(x, z) - log q(z | x) of one sample of z for each row of x, in nats; with classes
        log p(x, y, z) - log q(z | x, y).
        """
        found, top = self.ascend(x)
        y = one_hot(self.log_q_class(top).argmax(1), self.classes) if self.classes else None
        q = self.q_top(top, y)
        z = draw(q)
        terms = [log_normal(z, *standard_normal(*z.shape)) - log_normal(z, *q)]

        def group(i, role, p, g):
            below, name = found[i - 1], f"generative.{i + 1}.below"
            if role == "bottom_up":
                q, z = below["q"], below["z"]
            else:
                merged = self.block(name + ".merge", below["deterministic"], g)
                q = self.head(name + ".q_top_down", merged, self.stages[i - 1])
                z = draw(q)
            terms.append(log_normal(z, *p) - log_normal(z, *q))
            return z

        log_p_class = -math.log(self.classes) if self.classes else 0
        return self.descend(z, y, group).log_prob(x) + sum(terms) + log_p_class

    def log_class_probs(self, x, samples):
        """ln q(y | x), q being averaged over samples of the bottom-up latents."""
        return torch.stack([self.log_q_class(self.ascend(x)[1]) for _ in range(samples)]).logsumexp(
            0
        ) - math.log(samples)

    def generate(self, given, rows):
        """p(x | z, y): the groups are given, or drawn from the top down; classes are those given
        or each in turn.
        """
        y = chosen_classes(given, rows, self.classes) if self.classes else None
        depth = len(self.stages)
        z = given.get(f"z_{depth}")
        z = draw(standard_normal(rows, self.units(depth))) if z is None else z

        def group(i, role, p, g):
            found = given.get(f"z_{i}_{role}" if self.config["family"] == "biva" else f"z_{i}")
            return draw(p) if found is None else found

        return self.descend(z, y, group)


if __name__ == "__main__":
    main(Biva)
