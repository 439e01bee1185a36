"""What the recipes share: an exported model's numbers, a few layers, and the command line.

Maps are [rows, channels, height, width] here; in the file and in latents they flatten as height,
width, channel.
"""

import argparse, json, math
import numpy, torch
import torch.nn.functional as F
from safetensors import safe_open


class Exported:
    """The file that `rung export` writes; a family's recipe adds `log_weights(x)` and
    `generate(given, rows)`.
    """

    def __init__(self, path):
        with safe_open(path, "pt") as file:
            self.config = json.loads(file.metadata()["model"])
            self.shape = [int(side) for side in file.metadata()["image_shape"].split("x")]
            self.tensors = {name: file.get_tensor(name).double() for name in file.keys()}

    def activation(self, a):
        slope = self.config["leaky_slope"]
        functions = {
            "leaky_relu": lambda a: F.leaky_relu(a, slope),
            "relu": F.relu,
            "elu": F.elu,
            "tanh": torch.tanh,
            "softplus": F.softplus,
        }
        return functions[self.config["nonlinearity"]](a)

    def finish(self, layer, a):
        """What follows a product over the last axis: a bias, or batch normalisation with the
        exported statistics.
        """
        if layer + ".bias" in self.tensors:
            return a + self.tensors[layer + ".bias"]
        mean, variance = (
            self.tensors[f"statistics.{layer}.norm.{what}"] for what in ("mean", "variance")
        )
        normalised = (a - mean) / (variance + self.config["batch_norm_epsilon"]).sqrt()
        return (
            self.tensors[layer + ".norm.scale"] * normalised + self.tensors[layer + ".norm.shift"]
        )

    def dense(self, layer, x):
        return self.finish(layer, x @ self.tensors[layer + ".weight"])

    def convolution(self, layer, x, stride=1):
        return convolve(
            x,
            self.tensors[layer + ".weight"].permute(3, 2, 0, 1),
            self.tensors[layer + ".bias"],
            stride,
        )

    def transposed(self, layer, x, stride):
        return transpose(
            x,
            self.tensors[layer + ".weight"].permute(3, 2, 0, 1),
            self.tensors[layer + ".bias"],
            stride,
        )


def convolve(x, weight, bias, stride=1):
    """A convolution with SAME padding, the smaller half of it on the left and above; weight
    [outputs, inputs, height, width].
    """
    kernel, sides = weight.shape[-1], []
    for n in reversed(x.shape[2:]):
        padding = max(0, (math.ceil(n / stride) - 1) * stride + kernel - n)
        sides += [padding // 2, padding - padding // 2]
    return F.conv2d(F.pad(x, sides), weight, bias, stride)


def transpose(x, weight, bias, stride):
    """The adjoint of a convolution with SAME padding: `stride` times as high and wide; weight
    [inputs, outputs, height, width].
    """
    whole = F.conv_transpose2d(x, weight, bias, stride)
    at = max(0, weight.shape[-1] - stride) // 2
    height, width = (side * stride for side in x.shape[2:])
    # A kernel smaller than the stride leaves positions that only the bias reaches.
    missing = [0, max(0, at + width - whole.shape[3]), 0, max(0, at + height - whole.shape[2])]
    if any(missing):
        whole = F.pad(whole - bias.view(-1, 1, 1), missing) + bias.view(-1, 1, 1)
    return whole[:, :, at : at + height, at : at + width]


def draw(q):
    mean, variance = q
    return mean + variance.sqrt() * torch.randn_like(mean)


def standard_normal(rows, units):
    return torch.zeros(rows, units, dtype=torch.double), torch.ones(rows, units, dtype=torch.double)


def log_normal(z, mean, variance):
    return (-0.5 * (math.log(2 * math.pi) + torch.log(variance) + (z - mean) ** 2 / variance)).sum(
        1
    )


def flat(a):
    return a.permute(0, 2, 3, 1).reshape(len(a), -1)


def unflat(a, height, width):
    return a.view(len(a), height, width, -1).permute(0, 3, 1, 2)


def one_hot(y, classes):
    return torch.eye(classes, dtype=torch.double)[y]


def chosen_classes(given, rows, classes):
    """The likeliest classes of latents that rung encode wrote, or each class in turn, as one-hot
    rows.
    """
    return one_hot(
        given["class_probs"].argmax(1) if "class_probs" in given else torch.arange(rows) % classes,
        classes,
    )


def images(arrays, shape):
    """x_test as rows of planar values in [0, 1], and y_test where there is one."""
    x = arrays["x_test"]
    if x.ndim == 4 and x.shape[1:] != tuple(shape):
        x = x.transpose(0, 3, 1, 2)
    x = torch.from_numpy(
        x.reshape(len(x), -1).astype(float) / (255 if x.dtype == numpy.uint8 else 1)
    )
    return x, torch.from_numpy(arrays["y_test"].astype(int)) if "y_test" in arrays else None


def mask(path, shape):
    """1 where a pixel is missing, planar, from a line of # and . for each row of pixels."""
    lines = [[float(c == "#") for c in line.strip()] for line in open(path)]
    return torch.tensor(lines, dtype=torch.double).flatten().repeat(shape[0])[None]


def judged(log_probs, y):
    """Of ln p(y | x), [rows, classes]: how often the likeliest class is wrong, and the
    cross-entropy.
    """
    return {
        "error_rate": (log_probs.argmax(1) != y).double().mean().item(),
        "cross_entropy_nats": -log_probs.gather(1, y[:, None]).mean().item(),
    }


def main(make):
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help="what rung export wrote")
    parser.add_argument(
        "--images",
        help="an .npz with x_test: prints the bound; grey Bernoulli pixels are drawn",
    )
    parser.add_argument(
        "--samples", type=int, default=1, help="K, samples of the latents for each image"
    )
    parser.add_argument(
        "--mask",
        help="of a MatNet for missing pixels: text with # for each of them, . elsewhere",
    )
    parser.add_argument(
        "--latents", help="an .npz as rung encode writes it: its images go to --out"
    )
    parser.add_argument(
        "--draw", type=int, default=0, help="so many images from the prior go to --out"
    )
    parser.add_argument("--out", default="images.npz")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    model = make(options.model)
    if model.config.get("observation") == "gaussian":
        raise SystemExit("Gaussian pixels are in no recipe: docs/checkpoint.md has their formula")
    with torch.inference_mode():
        if options.images:
            x, y = images(numpy.load(options.images), model.shape)
            if model.config.get("observation", "bernoulli") == "bernoulli":
                x = torch.bernoulli(x)
            hidden = (
                {"mask": mask(options.mask, model.shape).expand(len(x), -1)} if options.mask else {}
            )
            found = model.measure(x, options.samples, **hidden)
            if y is not None and getattr(model, "classes", 0):
                found.update(judged(model.log_class_probs(x, options.samples), y))
            print(json.dumps(found))
        if options.latents or options.draw:
            given = {}
            if options.latents:
                arrays = numpy.load(options.latents)
                given = {
                    name: torch.from_numpy(arrays[name]).double()
                    for name in arrays
                    if name[0] in "az" or name == "class_probs"
                }
            rows = options.draw or len(next(iter(given.values())))
            pictures = model.generate(given, rows).picture().reshape(rows, *model.shape)
            numpy.savez(options.out, images=pictures.float().numpy())


class LatentModel(Exported):
    def measure(self, x, samples, **hidden):
        """L_1 and L_K in nats, with their standard errors over the images, and that of L_1 over
        the draws of latents.
        """
        a = torch.stack([self.log_weights(x, **hidden) for _ in range(samples)])
        bound = torch.logsumexp(a, 0) - math.log(samples)
        each = a.mean(1)
        return {
            "bound_1_nats": a.mean().item(),
            "bound_1_standard_error_nats": (a[0].std() / len(x) ** 0.5).item(),
            "bound_1_draw_deviation_nats": each.std().item() if samples > 1 else None,
            "bound_k_nats": bound.mean().item(),
            "standard_error_nats": (bound.std() / len(x) ** 0.5).item(),
        }
