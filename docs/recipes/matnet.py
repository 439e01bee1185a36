"""The bound and images of a MatNet.

    matnet.py MODEL --images glyphs.npz --samples 50

With residual, additive or gated steps, a refining block, a mixture at the top; of a model that
fills in missing pixels, the bound of those that a mask hides: --mask FILE, as `rung impute` reads
it.
"""

import math
import torch
from common import LatentModel, draw, flat, log_normal, main, standard_normal, unflat
from pixels import pixels


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
        self.fill = self.tensors.get("policy.fill")

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
        path = self.config["deterministic_paths"] or not name.startswith("generative")
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

    def descend(self, top, sample):
        """p(x | z) from a sample of the top. `sample(number, index, layer, state)` gives that of
        a layer, which reads the state above it.
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
                z = sample(number, index, layer, state)
                name = "generative." + self.layer_name(index, "layer", layer)
                state = self.step(
                    name, self.module(index), [unflat(z, height, width), *beside], state
                )
                if block.get("refines"):
                    refined = refined + self.convolution(up, state)
            if index > 0:
                state = self.activation(self.enlarge(up, state, block["stride"]))
        features = None
        if self.config["image_channels"]:
            features = self.activation(
                self.enlarge("generative.block.1.up", state, self.blocks[0]["stride"])
            )
            parameters = self.convolution("generative.image", features)
        elif self.blocks[0].get("refines"):
            parameters = refined
        else:
            parameters = self.enlarge("generative.block.1.up", state, self.blocks[0]["stride"])
        if self.config["observation"] == "bernoulli":
            parameters = parameters.clamp(-15, 15)
        return pixels(self, parameters, features)

    def image_map(self, x):
        map = x.view(-1, *self.map)
        return 2 * map - 1 if self.config["observation"] == "logistic_mixture" else map

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

    def observe(self, x, mask):
        """What the policy sees of images where the mask is 0: the images with the missing pixels
        filled, and the mask.
        """
        visible = self.image_map((1 - mask) * x + mask * self.fill)
        return torch.cat([visible, self.image_map(mask)], 1)

    def log_weights(self, x, mask=None):
        """log p(x, z) - log q(z | x) of one sample of z for each row of x, in nats; of missing
        pixels alone where a mask is 1 there.
        """
        if self.fill is None:
            q_chain, p_chain = Chain(self, "inference", self.image_map(x)), None
        else:
            seen = self.observe(x, mask)
            p_chain = Chain(self, "policy", seen)
            q_chain = Chain(
                self, "inference", torch.cat([seen, self.image_map(x), self.image_map(mask)], 1)
            )
        q = q_chain.q_top()
        top = draw(q)
        log_p = log_normal(top, *p_chain.q_top()) if p_chain else self.log_top_prior(top)
        terms = [log_p - log_normal(top, *q)]
        for chain in filter(None, [q_chain, p_chain]):
            chain.start(top)

        def sample(number, index, layer, state):
            p = p_chain.merge(index, layer, state) if p_chain else self.prior(index, layer, state)
            q = q_chain.merge(index, layer, state)
            z = draw(q)
            terms.append(log_normal(z, *p) - log_normal(z, *q))
            return z

        p_x = self.descend(top, sample)
        if mask is None:
            return p_x.log_prob(x) + sum(terms)
        each = p_x.each(x)
        return (each * mask[:, : each.shape[1]]).sum(1) + sum(terms)

    def generate(self, given, rows):
        """p(x | z): the layers are given, or drawn from the top down; where pixels may be
        missing, as if all were.
        """
        p_chain, top = None, given.get(f"z_{self.depth}")
        if self.fill is not None:
            all_missing = torch.ones(rows, math.prod(self.shape), dtype=torch.double)
            p_chain = Chain(self, "policy", self.observe(all_missing, all_missing))
        if top is None and p_chain:
            top = draw(p_chain.q_top())
        elif top is None and self.config["top_components"]:
            means, log_variances = self.components()
            chosen = torch.randint(len(means), (rows,))
            top = draw((means[chosen], log_variances[chosen].exp()))
        elif top is None:
            top = draw(standard_normal(rows, self.config["top_units"]))
        if p_chain:
            p_chain.start(top)

        def sample(number, index, layer, state):
            p = p_chain.merge(index, layer, state) if p_chain else self.prior(index, layer, state)
            found = given.get(f"z_{number}")
            return draw(p) if found is None else found

        return self.descend(top, sample)


class Chain:
    """A bottom-up chain over images and the merge chain that goes down beside the top-down
    states: of q, or of p given observed pixels.
    """

    def __init__(self, model, name, x):
        self.model, self.name = model, name
        m, state, self.states = model, x, {}
        if m.config["image_channels"]:
            state = m.activation(m.convolution(name + ".image", state))
        for index, block in enumerate(m.blocks):
            here = f"{name}.block.{index + 1}"
            state = first = m.activation(m.convolution(here + ".down", state, block["stride"]))
            for layer in range(1, block["layers"] + 1):
                self.states[index, layer] = first if m.module(index) == "gru" else state
                if not block.get("refines"):
                    state = m.step(f"{here}.bottom_up.{layer}", m.module(index), [], state)
        hidden = m.activation(m.dense(name + ".top.hidden", flat(state)))
        self.head = m.dense(name + ".top.q", hidden)

    def q_top(self):
        return self.model.gaussian(self.head)

    def start(self, top):
        self.merged, self.index = (
            self.model.top(self.name + ".merge.top", top),
            len(self.model.blocks) - 1,
        )

    def merge(self, index, layer, state):
        """The distribution of a layer, from the top-down state above it."""
        m = self.model
        if index < self.index:
            up = m.enlarge(
                f"{self.name}.block.{self.index + 1}.up",
                self.merged,
                m.blocks[self.index]["stride"],
            )
            self.merged, self.index = m.activation(up), index
        module = "residual" if m.module(index) == "additive" else m.module(index)
        layer_name = lambda what: f"{self.name}." + m.layer_name(index, what, layer)
        self.merged = m.step(
            layer_name("merge"), module, [state, self.states[index, layer]], self.merged
        )
        return m.gaussian(m.convolution(layer_name("q"), self.merged))


if __name__ == "__main__":
    main(MatNet)
