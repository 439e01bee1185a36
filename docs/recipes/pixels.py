"""p(x|z) of pixels that are black or white, mixtures of logistics, or either given the pixels
before them.

All begin with a map of parameters, [rows, parameters of a position, height, width]. Images are rows
of planar values in [0, 1].
"""

import math
import torch
import torch.nn.functional as F

LEVELS = 256


class Bernoulli:
    def __init__(self, logits):
        self.logits = logits.flatten(1)

    def each(self, x):
        """ln p of every value."""
        return x * self.logits - F.softplus(self.logits)

    def log_prob(self, x):
        return self.each(x).sum(1)

    def picture(self):
        return torch.sigmoid(self.logits)

    def sample(self):
        return torch.bernoulli(self.picture())


class LogisticMixture:
    """K components at a position, discretised to 256 levels (Salimans et al. 2017), by 3K
    numbers for one channel, 10K for three.
    """

    def __init__(self, parameters, channels):
        rows, count, self.height, self.width = parameters.shape
        self.channels = channels
        numbers = 3 if channels == 1 else 10
        blocks = parameters.view(rows, numbers, count // numbers, -1)
        self.log_shares = blocks[:, 0].log_softmax(1)
        group = 2 if channels == 1 else 3
        of = lambda kind: torch.stack([blocks[:, 1 + c * group + kind] for c in range(channels)], 1)
        self.means, self.log_scales = of(0), of(1).clamp(min=-7)  # [rows, channels, K, positions]
        self.pulls = of(2).tanh() if channels == 3 else None

    def shifted(self, points):
        """The means of a position's channels, each moved by the channels before it; points are
        [rows, channels, positions] in [-1, 1].
        """
        if self.pulls is None:
            return self.means
        red, green = points[:, 0, None], points[:, 1, None]
        m, k = self.means, self.pulls
        return torch.stack(
            [m[:, 0], m[:, 1] + k[:, 0] * red, m[:, 2] + k[:, 1] * red + k[:, 2] * green], 1
        )

    def each(self, x):
        """ln p of every position, [rows, positions]."""
        points = 2 * x.view(len(x), self.channels, -1) - 1
        away, half = points[:, :, None] - self.shifted(points), 1 / (LEVELS - 1)
        inverse = torch.exp(-self.log_scales)
        above, below = inverse * (away + half), inverse * (away - half)
        # sigmoid(above) - sigmoid(below), without the difference.
        inner = (
            F.logsigmoid(above) - F.softplus(below) + torch.log(-torch.expm1(-2 * half * inverse))
        )
        v = points[:, :, None]
        log_p = torch.where(
            v < -0.999, F.logsigmoid(above), torch.where(v > 0.999, -F.softplus(below), inner)
        )
        return (self.log_shares + log_p.sum(1)).logsumexp(1)

    def log_prob(self, x):
        return self.each(x).sum(1)

    def picture(self):
        """The mean of each channel given those of the channels before it."""
        shares, points = self.log_shares.exp(), torch.zeros(
            len(self.means), self.channels, self.means.shape[3], dtype=torch.double
        )
        for c in range(self.channels):
            points[:, c] = (shares * self.shifted(points)[:, c]).sum(1).clamp(-1, 1)
        return (0.5 * points + 0.5).flatten(1)

    def sample(self):
        rows, _, positions = self.log_shares.shape
        shares = torch.distributions.Categorical(logits=self.log_shares.transpose(1, 2))
        chosen = shares.sample()[:, None]
        points = torch.zeros(rows, self.channels, positions, dtype=torch.double)
        for c in range(self.channels):
            mean = self.shifted(points)[:, c].gather(1, chosen)[:, 0]
            scale = self.log_scales[:, c].gather(1, chosen)[:, 0].exp()
            points[:, c] = (mean + scale * torch.logit(torch.rand_like(mean))).clamp(-1, 1)
        return ((0.5 * points + 0.5).flatten(1) * (LEVELS - 1)).round() / (LEVELS - 1)


def pixels(model, parameters, features):
    """p(x|z) by the parameters of every position, and the features F that an autoregressive
    output reads beside them.
    """
    config, channels = model.config, model.map[0]
    if config["observation"] == "bernoulli":
        plain = Bernoulli
    else:
        plain = lambda parameters: LogisticMixture(parameters, channels)
    layers = config["autoregressive_layers"]
    if not layers:
        return plain(parameters)
    return Autoregressive(
        plain, parameters, features, model.tensors, layers, config["autoregressive_kernel"]
    )


class Autoregressive:
    """Each position given the latents and the positions before it, row by row from the top left.

    g_1 = e(A * (2x - 1) + W_1 F + b_1),  g_l = e(g_(l-1) + B * g_(l-1) + W_l F + b_l),
    parameters = base + W g_n; A sees the positions before the current one, B that one too.
    """

    def __init__(self, plain, base, features, tensors, layers, kernel):
        """`plain` makes p(x|z) of a map of parameters, of which `base` is the one without the
        pixels before; F are `features`.
        """
        self.plain, self.base, self.layers = plain, base, []
        for number in range(1, layers + 1):
            tensor = lambda name: tensors[f"generative.autoregressive.{number}.{name}"]
            side = kernel if number == 1 else 3
            weight = tensor("context.weight")
            taps = side * side // 2 + (number > 1)
            weight = F.pad(
                weight.view(taps, -1, weight.shape[1]), [0, 0, 0, 0, 0, side * side - taps]
            )
            weight = weight.view(side, side, *weight.shape[1:]).permute(3, 2, 0, 1)
            added = torch.einsum("rchw,cd->rdhw", features, tensor("features.weight")) + tensor(
                "features.bias"
            ).view(-1, 1, 1)
            self.layers.append((weight, added))
        self.output = tensors["generative.autoregressive.output.weight"]

    def given(self, x):
        """p of every position given the pixels of x before it."""
        g = None
        for weight, added in self.layers:
            seen = (2 * x - 1).view(len(x), -1, *self.base.shape[2:]) if g is None else g
            context = F.conv2d(seen, weight, padding=weight.shape[-1] // 2)
            g = F.elu(context + added + (0 if g is None else g))
        return self.plain(self.base + torch.einsum("rchw,cd->rdhw", g, self.output))

    def log_prob(self, x):
        return self.given(x).log_prob(x)

    def picture(self):
        """An image that is drawn, a position at a time: its mean has no closed form."""
        rows, _, height, width = self.base.shape
        x = torch.zeros_like(self.plain(self.base).picture())
        planes = x.view(rows, -1, height * width)
        for position in range(height * width):
            planes[:, :, position] = self.given(x).sample().view_as(planes)[:, :, position]
        return x
