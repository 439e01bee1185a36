"""The bound and images of a MatNet with Bernoulli pixels.

    matnet.py MODEL --images glyphs.npz --samples 50

Of whole images: with residual, additive or gated steps, a refining block and a mixture at the top.
"""

import math
import torch
from common import LatentModel, bernoulli, draw, flat, log_normal, main, standard_normal, unflat


class MatNet(LatentModel):
    def __init__(self, path):
        super().__init__(path)
        config = self.config
        self.blocks, self.scale = config["blocks"], self.tensors["generative.scale"]
        self.map = [math.prod(self.shape), 1, 1] if config["flat_images"] else self.shape
        self.maps, (_, height, width) = [], self.map
        for block in self.blocks:
            height, width = math.ceil(height / block["stride"]), math.ceil(width / block["stride"])
            self.maps.append((height, width))
        self.depth = 1 + sum(block["layers"] for block in self.blocks)

    def enlarge(self, layer, x, stride):
        return self.transposed(layer, x, stride) if stride > 1 else self.convolution(layer, x)

    def gaussian(self, head):
        """Mean s·m and variance exp(s·r) of a head, as rows."""
        mean, raw = (head * self.scale).chunk(2, 1)
        flatten = flat if head.dim() == 4 else lambda a: a
        return flatten(mean), flatten(raw).exp()

    def top(self, name, z):
        """From the sample of the top to a first state."""
        h = self.activation(self.dense(name + ".hidden", z))
        return unflat(self.activation(self.dense(name + ".output", h)), *self.maps[-1])

    def step(self, name, module, read, state):
        """The next state, from what lies beside the state."""
        if module == "gru":
            gates = torch.sigmoid(
                self.convolution(name + ".gates", torch.cat([*read, state], 1)) + 1
            )
            update, reset = gates.chunk(2, 1)
            candidate = torch.tanh(
                self.convolution(name + ".candidate", torch.cat([*read, reset * state], 1))
            )
            return candidate + update * (state - candidate)
        if name + ".sample.weight" in self.tensors:
            state, read = (
                self.activation(state + self.convolution(name + ".sample", torch.cat(read, 1))),
                [],
            )
        path = self.config["deterministic_paths"] or name.startswith("inference")
        inner = self.activation(
            self.convolution(name + ".first", torch.cat([*read, state] if path else read, 1))
        )
        step = self.convolution(name + ".second", inner)
        return self.activation(state + step if path else step)

    def layer_name(self, index, what, layer):
        """Layers of a block that refines share the weights of its first."""
        return f"block.{index + 1}.{what}.{1 if self.blocks[index].get('refines') else layer}"

    def module(self, index):
        return "gru" if self.blocks[index].get("refines") else self.config["module"]

    def bottom_up(self, x):
        """The state that each layer reads, and the head of q of the top."""
        state, states = x.view(-1, *self.map), {}
        if self.config["image_channels"]:
            state = self.activation(self.convolution("inference.image", state))
        for index, block in enumerate(self.blocks):
            name = f"inference.block.{index + 1}"
            state = first = self.activation(
                self.convolution(name + ".down", state, block["stride"])
            )
            for layer in range(1, block["layers"] + 1):
                states[index, layer] = first if self.module(index) == "gru" else state
                if not block.get("refines"):
                    state = self.step(f"{name}.bottom_up.{layer}", self.module(index), [], state)
        hidden = self.activation(self.dense("inference.top.hidden", flat(state)))
        return states, self.dense("inference.top.q", hidden)

    def prior(self, index, layer, state):
        """p of a layer given the state above."""
        name = "generative." + self.layer_name(index, "layer", layer) + ".prior"
        if name + ".output.weight" not in self.tensors:
            height, width = self.maps[index]
            return standard_normal(
                len(state), height * width * self.blocks[index]["latent_channels"]
            )
        if name + ".hidden.weight" not in self.tensors:
            return self.gaussian(self.convolution(name + ".output", state))
        hidden = self.activation(self.convolution(name + ".hidden", state))
        mean = flat(self.convolution(name + ".output", hidden) * self.scale)
        return mean, torch.ones_like(mean)

    def descend(self, top, sample, leave=lambda index: None):
        """Logits of images.

        `sample(number, index, layer, p, state)` gives the sample of a layer; `leave` hears of the
        end of a block.
        """
        state, refined, number = self.top("generative.top", top), 0, self.depth
        for index in reversed(range(len(self.blocks))):
            block, (height, width) = self.blocks[index], self.maps[index]
            up = f"generative.block.{index + 1}.up"
            beside = [top[:, :, None, None].expand(-1, -1, height, width)] * self.config[
                "top_beside_samples"
            ]
            for layer in range(block["layers"], 0, -1):
                number -= 1
                z = sample(number, index, layer, self.prior(index, layer, state), state)
                name = "generative." + self.layer_name(index, "layer", layer)
                state = self.step(
                    name, self.module(index), [unflat(z, height, width), *beside], state
                )
                if block.get("refines"):
                    refined = refined + self.convolution(up, state)
            if index > 0:
                state = self.activation(self.enlarge(up, state, block["stride"]))
                leave(index)
        if self.config["image_channels"]:
            state = self.activation(
                self.enlarge("generative.block.1.up", state, self.blocks[0]["stride"])
            )
            logits = self.convolution("generative.image", state)
        elif self.blocks[0].get("refines"):
            logits = refined
        else:
            logits = self.enlarge("generative.block.1.up", state, self.blocks[0]["stride"])
        return logits.reshape(len(top), -1).clamp(-15, 15)

    def components(self):
        """Means and log-variances of the mixture at the top, [component, units]."""
        name, shared = "generative.top.prior.", self.config["top_shared_units"]
        own = [self.tensors[name + what] for what in ("means", "log_variances")]
        return [
            torch.cat([torch.zeros(len(part), shared, dtype=torch.double), part], 1) for part in own
        ]

    def log_top_prior(self, z):
        if not self.config["top_components"]:
            return log_normal(z, *standard_normal(*z.shape))
        means, log_variances = self.components()
        each = [
            log_normal(z, mean, log_variance.exp())
            for mean, log_variance in zip(means, log_variances)
        ]
        return torch.stack(each).logsumexp(0) - math.log(len(each))

    def log_weights(self, x):
        """log p(x, z) − log q(z | x) of one sample of z for each row of x, in nats."""
        states, head = self.bottom_up(x)
        q = self.gaussian(head)
        top = draw(q)
        terms = [self.log_top_prior(top) - log_normal(top, *q)]
        merged = [self.top("inference.merge.top", top)]

        def sample(number, index, layer, p, state):
            read = [state, states[index, layer]]
            module = "residual" if self.module(index) == "additive" else self.module(index)
            merged[0] = self.step(
                "inference." + self.layer_name(index, "merge", layer), module, read, merged[0]
            )
            q = self.gaussian(
                self.convolution("inference." + self.layer_name(index, "q", layer), merged[0])
            )
            z = draw(q)
            terms.append(log_normal(z, *p) - log_normal(z, *q))
            return z

        def leave(index):
            up = self.enlarge(
                f"inference.block.{index + 1}.up", merged[0], self.blocks[index]["stride"]
            )
            merged[0] = self.activation(up)

        return bernoulli(x, self.descend(top, sample, leave)) + sum(terms)

    def generate(self, given, rows):
        """Logits of images: the layers are given, or drawn from the top down."""
        top = given.get(f"z_{self.depth}")
        if top is None and self.config["top_components"]:
            means, log_variances = self.components()
            chosen = torch.randint(len(means), (rows,))
            top = draw((means[chosen], log_variances[chosen].exp()))
        elif top is None:
            top = draw(standard_normal(rows, self.config["top_units"]))

        def sample(number, index, layer, p, state):
            found = given.get(f"z_{number}")
            return draw(p) if found is None else found

        return self.descend(top, sample)


if __name__ == "__main__":
    main(MatNet)
