"""Classes of images by a classifier.

    classifier.py MODEL --images digits.npz

The file is an .npz with x_test and y_test.
"""

import json, sys
import numpy, torch
from common import Exported, convolve, flat, images, judged


class Classifier(Exported):
    def log_probs(self, x):
        """ln p(y | x), [rows, classes]; x is [rows, channels, height, width], scaled as in
        training.
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
    model = Classifier(sys.argv[1])
    x, y = images(numpy.load(sys.argv[3]), model.shape)
    with torch.inference_mode():
        print(json.dumps(judged(model.log_probs(x.view(-1, *model.shape)), y)))
