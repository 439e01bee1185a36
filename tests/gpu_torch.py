"""PyTorch on a GPU, for gpu-run-sheet.sh. A line of JSON each:

products in f32, and steps of a ladder of mnist-ladder-5's sizes.
"""

import json
import statistics
import time

import torch
from torch import nn
from torch.nn.functional import leaky_relu, softplus

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 256
LATENTS = [64, 32, 16, 8, 4]
HIDDEN = [512, 256, 128, 64, 32]
# The ladder's largest products in a batch of 256, forwards and for weights, and a square one.
SHAPES = [
    (256, 784, 512),
    (256, 512, 784),
    (256, 512, 512),
    (784, 256, 512),
    (512, 256, 512),
    (4096, 4096, 4096),
]


def synchronise():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def milliseconds(work, times):
    """The median time of a call, after some that are not counted."""
    for _ in range(5):
        work()
    found = []
    for _ in range(times):
        synchronise()
        began = time.perf_counter()
        work()
        synchronise()
        found.append(1e3 * (time.perf_counter() - began))
    return statistics.median(found)


class Mlp(nn.Module):
    """Two hidden layers with batch normalisation, and a head of mean and raw variance."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(inputs, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)])
        self.head = nn.Linear(hidden, outputs, bias=False)
        self.head_norm = nn.BatchNorm1d(outputs)

    def forward(self, x):
        for layer, norm in zip(self.layers, self.norms):
            x = leaky_relu(norm(layer(x)), 0.1)
        mean, raw = self.head_norm(self.head(x)).chunk(2, 1)
        return mean, softplus(raw) + 1e-3


class Ladder(nn.Module):
    """The probabilistic ladder (Sønderby 2016, eq. 11 to 13)."""

    def __init__(self):
        super().__init__()
        below = [784, *LATENTS[:-1]]
        self.up = nn.ModuleList(Mlp(b, h, 2 * z) for b, h, z in zip(below, HIDDEN, LATENTS))
        down = list(zip(LATENTS[1:], HIDDEN[1:], LATENTS))
        hidden = [256, 128, 64, 32]
        self.down = nn.ModuleList(Mlp(above, h, 2 * z) for (above, _, z), h in zip(down, hidden))
        self.prior = nn.ModuleList(Mlp(above, h, 2 * z) for (above, _, z), h in zip(down, hidden))
        self.pixels = Mlp(LATENTS[0], HIDDEN[0], 2 * 784)

    def forward(self, x):
        messages, below = [], x
        for up in self.up:
            messages.append(up(below))
            below = messages[-1][0]
        mean, variance = messages[-1]
        z = mean + variance.sqrt() * torch.randn_like(mean)
        kl = 0.5 * (variance + mean**2 - 1 - variance.log()).sum(1)
        for i in reversed(range(len(LATENTS) - 1)):
            (m_d, v_d), (m_t, v_t), (m_p, v_p) = messages[i], self.down[i](z), self.prior[i](z)
            mean, variance = (m_d * v_t + m_t * v_d) / (v_d + v_t), v_d * v_t / (v_d + v_t)
            z = mean + variance.sqrt() * torch.randn_like(mean)
            kl = kl + 0.5 * (
                v_p.log() - variance.log() + (variance + (mean - m_p) ** 2) / v_p - 1
            ).sum(1)
        logits, _ = self.pixels(z)
        return (kl - (x * logits - softplus(logits)).sum(1)).mean()


def ladder_steps():
    model = Ladder().to(DEVICE)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=1e-3, fused=DEVICE == "cuda", capturable=DEVICE == "cuda"
    )
    x = torch.bernoulli(torch.full((BATCH, 784), 0.3, device=DEVICE))

    def step():
        optimiser.zero_grad(set_to_none=False)
        model(x).backward()
        optimiser.step()

    yield {"what": "ladder eager", "step_ms_median": milliseconds(step, 30)}
    if DEVICE != "cuda":
        return
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    yield {"what": "ladder CUDA graph", "step_ms_median": milliseconds(graph.replay, 100)}


def main():
    torch.manual_seed(1)
    print(
        json.dumps(
            {
                "what": torch.__version__,
                "device": torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE,
            }
        )
    )
    for tf32 in [False, True] if DEVICE == "cuda" else [False]:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        for rows, inner, columns in SHAPES:
            left, right = (
                torch.randn(rows, inner, device=DEVICE),
                torch.randn(inner, columns, device=DEVICE),
            )
            ms = milliseconds(lambda left=left, right=right: left @ right, 20)
            shape = f"{rows}x{inner}x{columns}{' tf32' if tf32 else ''}"
            print(
                json.dumps(
                    {"shape": shape, "gflop_per_s": round(2e-6 * rows * inner * columns / ms, 1)}
                ),
                flush=True,
            )
    torch.backends.cuda.matmul.allow_tf32 = False
    for line in ladder_steps():
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
