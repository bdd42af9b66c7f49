"""Exports the small convolutional network of digit-recognizer-py, which reads one handwritten digit, to ONNX."""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions

if TYPE_CHECKING:
    from torch import Tensor

VERSIONS = ("torch", "onnxruntime")
SIDE = 28
# With which MNIST's pixels, 0..1, were brought to mean 0 and deviation 1 in training.
MEAN, DEVIATION = 0.1307, 0.3081
LARGEST_DIFFERENCE = 1e-5


class Options(BaseOptions):
    """weights: the source file with the network's tensors."""

    weights: str


def build(work: Work) -> dict[str, float]:
    """Write digits.onnx: digits float32[N, 28, 28], white 1 on black 0 -> scores float32[N, 10]."""
    import numpy as np  # noqa: PLC0415 - only when building
    import onnxruntime  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415 - heavy

    class Digits(nn.Module):
        """Three convolutions, each halving the sides, then two layers; its parts are named as in the weights."""

        def __init__(self) -> None:
            super().__init__()
            sizes = [1, 32, 64, 128]
            self.conv_layers = nn.Sequential(
                *(
                    layer
                    for before, after in itertools.pairwise(sizes)
                    for layer in (nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
                )
            )
            self.fc_layers = nn.Sequential(nn.Linear(sizes[-1] * 9, 256), nn.ReLU(), nn.Linear(256, 10))

        def forward(self, digits: Tensor) -> Tensor:
            """digits: float32[N, 28, 28] -> probabilities float32[N, 10]."""
            normal = (digits.unsqueeze(1) - MEAN) / DEVIATION
            scores: Tensor = torch.softmax(self.fc_layers(self.conv_layers(normal).flatten(1)), dim=1)
            return scores

    network = Digits().eval()
    network.load_state_dict(torch.load(work.file(work.options.weights), map_location="cpu", weights_only=True))
    digits = torch.rand(2, SIDE, SIDE)
    path = str(work.folder / "digits.onnx")
    work.report("exporting to ONNX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter says that it is old; the new one has no fixed opset
        torch.onnx.export(
            network,
            (digits,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["digits"],
            output_names=["scores"],
            dynamic_axes={"digits": {0: "batch"}, "scores": {0: "batch"}},
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"digits": digits.numpy()})
    with torch.inference_mode():
        difference = float(np.abs(scores - network(digits).numpy()).max())
    if difference > LARGEST_DIFFERENCE:
        message = f"ONNX and PyTorch differ by {difference:.1e}: check the versions of torch and onnxruntime."
        raise BuildError(message)
    return {"onnx_largest_difference": difference}
