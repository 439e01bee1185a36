"""The bound, images and classes of an ADGM, SDGM or M2 with Bernoulli pixels.

    auxiliary.py MODEL --images glyphs.npz --samples 50

Of a model with classes, log w has the class summed out, as `rung evaluate --every-class` has it.
"""

import math
import torch
from common import LatentModel, chosen_classes, draw, log_normal, main, one_hot, standard_normal
from pixels import Bernoulli


class Auxiliary(LatentModel):
    def __init__(self, path):
        super().__init__(path)
        bias = self.tensors.get("inference.class.head.bias")
        self.classes = 0 if bias is None else len(bias)
        self.has_a = self.config["family"] != "m2"

    def network(self, name, **inputs):
        """A multilayer perceptron whose first layer sums a product of each input that it reads."""
        weights = {key: self.tensors.get(f"{name}.hidden.0.weight.{key}") for key in inputs}
        total = sum(inputs[key] @ weight for key, weight in weights.items() if weight is not None)
        h = self.activation(self.finish(name + ".hidden.0", total))
        for k in range(1, len(self.config["hidden_sizes"])):
            h = self.activation(self.dense(f"{name}.hidden.{k}", h))
        return self.dense(name + ".head", h)

    def gaussian(self, name, **inputs):
        mean, raw = self.network(name, **inputs).chunk(2, 1)
        limit = self.config["log_variance_limit"]
        return mean, raw.clamp(-limit, limit).exp()

    def joint(self, x, a, y):
        """log p(x, a, y, z) − log q(z | a, y, x) at a sample of z."""
        q = self.gaussian("inference.latent", image=x, auxiliary=a, **{"class": y})
        z = draw(q)
        total = log_normal(z, *standard_normal(*z.shape)) - log_normal(z, *q)
        if self.has_a:
            total += log_normal(
                a, *self.gaussian("generative.auxiliary", image=x, latent=z, **{"class": y})
            )
        logits = self.network("generative.image", auxiliary=a, latent=z, **{"class": y})
        return (
            total + Bernoulli(logits).log_prob(x) - (math.log(self.classes) if self.classes else 0)
        )

    def one_class(self, y, rows):
        """A row of the class for each row; nothing to read without classes."""
        return one_hot(y, max(self.classes, 1)).expand(rows, -1)

    def draw_a(self, x):
        """A sample of q(a | x), and its log-density."""
        if not self.has_a:
            return torch.zeros(len(x), 0, dtype=torch.double), 0
        q = self.gaussian("inference.auxiliary", image=x)
        a = draw(q)
        return a, log_normal(a, *q)

    def log_weights(self, x):
        a, log_q = self.draw_a(x)
        each = torch.stack(
            [self.joint(x, a, self.one_class(y, len(x))) for y in range(max(self.classes, 1))]
        )
        return each.logsumexp(0) - log_q

    def log_class_probs(self, x, samples):
        """ln q(y | x), q being averaged over samples of a."""
        one = lambda a: self.network("inference.class", image=x, auxiliary=a).log_softmax(1)
        return torch.stack([one(self.draw_a(x)[0]) for _ in range(samples)]).logsumexp(
            0
        ) - math.log(samples)

    def generate(self, given, rows):
        """p(x | ·): z and a are given or drawn, classes those given or each in turn."""
        y = chosen_classes(given, rows, max(self.classes, 1))
        z = given["z"] if "z" in given else draw(standard_normal(rows, self.config["latent_units"]))
        a = given.get("a")
        if self.config["family"] == "sdgm" and a is None:
            a = draw(self.gaussian("generative.auxiliary", latent=z, **{"class": y}))
        if a is None:
            a = torch.zeros(rows, 0, dtype=torch.double)
        return Bernoulli(self.network("generative.image", auxiliary=a, latent=z, **{"class": y}))


if __name__ == "__main__":
    main(Auxiliary)
