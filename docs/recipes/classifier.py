"""Classes of images by a classifier, from an .npz with x_test and y_test.

    classifier.py MODEL --images digits.npz
"""

import numpy, sys, json
import torch
from common import Exported, convolve, flat


class Classifier(Exported):
    def log_probs(self, x):
        """ln p(y | x), [rows, classes], for x scaled as in training.

        x is [rows, channels, height, width].
        """
        h = x
        for k, layer in enumerate(self.config["convolutions"], 1):
            name = f"convolution.{k}"
            product = convolve(
                h, self.tensors[name + ".weight"].permute(3, 2, 0, 1), None, layer.get("stride", 1)
            )
            h = self.activation(self.finish(name, product.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        h = flat(h)
        for k in range(1, len(self.config["hidden_sizes"]) + 1):
            h = self.activation(self.dense(f"hidden.{k}", h))
        return self.dense("logits", h).log_softmax(1)


if __name__ == "__main__":
    model, arrays = Classifier(sys.argv[1]), numpy.load(sys.argv[3])
    x, y = arrays["x_test"], torch.from_numpy(arrays["y_test"].astype(int))
    x = torch.from_numpy(x.astype(float) / (255 if x.dtype == numpy.uint8 else 1)).reshape(
        len(x), *model.shape
    )
    with torch.inference_mode():
        log_probs = model.log_probs(x)
    print(
        json.dumps(
            {
                "error_rate": (log_probs.argmax(1) != y).double().mean().item(),
                "cross_entropy_nats": -log_probs.gather(1, y[:, None]).mean().item(),
            }
        )
    )
