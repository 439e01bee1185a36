"""Digits of sequences by an rnn_spn, ffn_spn or sequence_convnet.

    sequences.py MODEL --images canvases.npz

`rung data write sequences:mnist --out canvases.npz` writes such a file, with x_test and y_test
[canvases, digits].
"""

import json, sys
import numpy, torch
import torch.nn.functional as F
from common import Exported, flat, images

IDENTITY = torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.double)


class Sequences(Exported):
    def stack(self, name, x):
        """Convolutions 3 x 3 without padding, with rectifiers, and max-pooling between them."""
        for k in range(1, len(self.config[name + "_channels"]) + 1):
            layer = f"{name}.convolution.{k}"
            if k > 1:
                x = F.max_pool2d(x, 2)
            x = F.relu(
                F.conv2d(
                    x,
                    self.tensors[layer + ".weight"].permute(3, 2, 0, 1),
                    self.tensors[layer + ".bias"],
                )
            )
        return flat(x)

    def hidden(self, name, h):
        for k in range(1, len(self.config[name + "_hidden"]) + 1):
            h = F.relu(self.dense(f"{name}.hidden.{k}", h))
        return h

    def states(self, features, steps):
        """Of a GRU that sees the same features at each step: [rows, steps, units]."""
        tensor = lambda name: self.tensors["localisation.recurrence." + name]
        input, weight = features @ tensor("input_weight") + tensor("bias"), tensor("hidden_weight")
        units, h, states = (
            len(weight),
            torch.zeros(len(features), len(weight), dtype=torch.double),
            [],
        )
        for _ in range(steps):
            x, product = input.chunk(3, 1), (h @ weight).chunk(3, 1)
            reset, update = torch.sigmoid(x[0] + product[0]), torch.sigmoid(x[1] + product[1])
            if self.config["gru_reset"] == "after":
                candidate = torch.tanh(x[2] + reset * product[2])
            else:
                candidate = torch.tanh(x[2] + (reset * h) @ weight[:, 2 * units :])
            h = (1 - update) * h + update * candidate
            states.append(h)
        return torch.stack(states, 1)

    def theta(self, seen, digits):
        """The transforms of the glimpses, [rows, glimpses, 6]."""
        features = self.stack("localisation", seen)
        if self.config["family"] == "rnn_spn":
            h = self.states(features, digits)
        else:
            h = self.hidden("localisation", features)[:, None]
        return IDENTITY + self.config["theta_rate"] * self.dense("localisation.theta", h)

    def glimpse(self, canvas, theta):
        """What the transforms [rows, 6] show of canvases, bilinear."""
        _, channels, height, width = canvas.shape
        rows, columns = (int(side / self.config["downsampling"]) for side in (height, width))
        positions = lambda count: (
            torch.linspace(-1, 1, count, dtype=torch.double)
            if count > 1
            else torch.zeros(1, dtype=torch.double)
        )
        y, x = torch.meshgrid(positions(rows), positions(columns), indexing="ij")
        at = torch.einsum(
            "rij,jhw->rihw", theta.view(-1, 2, 3), torch.stack([x, y, torch.ones_like(x)])
        )
        paper_time = self.config["outside"] == "paper_time"
        spans = torch.tensor([width, height], dtype=torch.double) - (0 if paper_time else 1)
        # To whole pixels from the first: -1 is 0.
        x, y = (0.5 * (at + 1) * spans.view(2, 1, 1)).unbind(1)
        left, top = x.floor(), y.floor()
        total = 0
        for column, row in [(left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)]:
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            if self.config["outside"] == "border":
                inside = torch.ones_like(inside)
            index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
            pixels = (
                canvas.flatten(2)
                .gather(2, index.flatten(1)[:, None].expand(-1, channels, -1))
                .view(-1, channels, rows, columns)
            )
            total = total + (weight * inside)[:, None] * pixels
        if paper_time:
            total = total * ((x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1))[:, None]
        return total

    def log_probs(self, x, digits):
        """ln p(digit | canvas) of every position, [rows, digits, classes]; canvases are [rows,
        channels, height, width].
        """
        pool = self.config["input_pool"]
        seen = F.max_pool2d(x, pool) if pool > 1 else x
        if self.config["family"] != "sequence_convnet":
            theta = self.theta(seen, digits)
            seen = self.glimpse(x.repeat_interleave(theta.shape[1], 0), theta.flatten(0, 1))
        h = self.hidden("classifier", self.stack("classifier", seen))
        return self.dense("classifier.logits", h).view(len(x), digits, -1).log_softmax(2)


if __name__ == "__main__":
    model = Sequences(sys.argv[1])
    x, y = images(numpy.load(sys.argv[3]), model.shape)
    y = y.view(len(x), -1)
    with torch.inference_mode():
        log_probs = torch.cat(
            [model.log_probs(part.view(-1, *model.shape), y.shape[1]) for part in x.split(100)]
        )
    wrong = log_probs.argmax(2) != y
    print(
        json.dumps(
            {
                "error_rate": wrong.double().mean().item(),
                "sequence_error_rate": wrong.any(1).double().mean().item(),
                "cross_entropy_nats": -log_probs.gather(2, y[:, :, None]).mean().item(),
            }
        )
    )
