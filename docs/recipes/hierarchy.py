"""The bound and images of a vae, ladder or lvae with Bernoulli pixels.

    hierarchy.py MODEL --images glyphs.npz --samples 50
"""

import torch.nn.functional as F
from common import LatentModel, draw, log_normal, main, standard_normal
from pixels import Bernoulli


class Hierarchy(LatentModel):
    def __init__(self, path):
        super().__init__(path)
        self.depth = len(self.config["latent_sizes"])

    def hidden(self, network, x):
        for k in range(self.config["mlp_layers"]):
            x = self.activation(self.dense(f"{network}.hidden.{k}", x))
        return x

    def head(self, network, h):
        mean, raw = self.dense(network + ".head", h).chunk(2, 1)
        return mean, F.softplus(raw) + self.config["variance_floor"]

    def gaussian(self, network, x):
        return self.head(network, self.hidden(network, x))

    def posterior(self, x):
        """q(z_i | ·) of each layer as (mean, variance), and a sample of each, z_1 first."""
        family, q, z, message, below = self.config["family"], {}, {}, {}, x
        for i in range(1, self.depth + 1):
            h = self.hidden(f"inference.up.{i}", below)
            message[i] = self.head(f"inference.up.{i}", h)
            if family == "vae":
                q[i], z[i] = message[i], draw(message[i])
            below = {"vae": z.get(i), "ladder": message[i][0], "lvae": h}[family]
        if family == "vae":
            return q, z
        q[self.depth] = message[self.depth]
        z[self.depth] = draw(q[self.depth])
        for i in range(self.depth - 1, 0, -1):
            top_down = {"ladder": "inference.down", "lvae": "generative"}[family]
            (m_d, v_d), (m_t, v_t) = message[i], self.gaussian(f"{top_down}.{i}", z[i + 1])
            q[i] = ((m_d * v_t + m_t * v_d) / (v_d + v_t), v_d * v_t / (v_d + v_t))
            z[i] = draw(q[i])
        return q, z

    def prior(self, i, z, rows):
        """p(z_i | z_{i+1}) as (mean, variance)."""
        return (
            self.gaussian(f"generative.{i}", z[i + 1])
            if i < self.depth
            else standard_normal(rows, self.config["latent_sizes"][-1])
        )

    def observe(self, z_1):
        return Bernoulli(self.dense("generative.x.logits", self.hidden("generative.x", z_1)))

    def log_weights(self, x):
        """log p(x, z) − log q(z | x) of one sample of z for each row of x, in nats."""
        q, z = self.posterior(x)
        total = self.observe(z[1]).log_prob(x)
        for i in range(1, self.depth + 1):
            total += log_normal(z[i], *self.prior(i, z, len(x))) - log_normal(z[i], *q[i])
        return total

    def generate(self, given, rows):
        """p(x | z): z_i are given, or drawn from the top down."""
        z = {}
        for i in range(self.depth, 0, -1):
            found = given.get(f"z_{i}")
            z[i] = draw(self.prior(i, z, rows)) if found is None else found
        return self.observe(z[1])


if __name__ == "__main__":
    main(Hierarchy)
