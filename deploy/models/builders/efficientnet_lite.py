"""Exports EfficientNet-Lite from PyTorch to ONNX, with the picture's normalisation and the softmax inside the graph."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pydantic import Field

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSIONS = ("torch", "efficientnet-lite-pytorch", "onnxruntime")
LARGEST_DIFFERENCE = 1e-4


class Options(BaseOptions):
    """variant: of the PyTorch package; weights: source file; size: of the picture in pixels."""

    variant: str = Field(pattern=r"^efficientnet-lite[0-4]$")
    weights: str
    size: int = Field(gt=0)


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: images uint8[N, size, size, 3] -> scores float32[N, 1000], features float32[N, 1280]."""
    import torch  # noqa: PLC0415 - heavy

    options: Options = work.options
    model = _with_pictures(_network(options, work))
    pictures = torch.randint(0, 256, (2, options.size, options.size, 3), dtype=torch.uint8)
    work.report("exporting to ONNX")
    path = str(work.folder / "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter says that it is old; the new one has no fixed opset
        torch.onnx.export(
            model,
            (pictures,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["images"],
            output_names=["scores", "features"],
            dynamic_axes={name: {0: "batch"} for name in ("images", "scores", "features")},
        )
    with torch.inference_mode():
        expected = model(pictures)
    difference = _difference(path, pictures, expected)
    if difference > LARGEST_DIFFERENCE:
        message = f"ONNX and PyTorch differ by {difference:.1e}: check the versions of torch and onnxruntime."
        raise BuildError(message)
    return {"onnx_largest_difference": difference}


def _network(options: Options, work: Work) -> Any:
    import torch  # noqa: PLC0415 - heavy
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - imports torch

    work.report("loading the weights")
    network = EfficientNet.from_name(options.variant)
    network.load_state_dict(torch.load(work.file(options.weights), map_location="cpu", weights_only=True))
    return network


def _with_pictures(network: Any) -> nn.Module:
    """The network from uint8 NHWC pictures to probabilities and features."""
    import torch  # noqa: PLC0415 - heavy

    class Pictures(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = network

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            """images: uint8[N, H, W, 3] RGB -> scores float32[N, 1000], features float32[N, 1280]."""
            pixels = (images.permute(0, 3, 1, 2).float() - 127.0) / 128.0
            features = self.network.extract_features(pixels).mean(dim=(2, 3))
            return torch.softmax(self.network._fc(features), dim=1), features  # noqa: SLF001 - the package has no other name

    return Pictures().eval()


def _difference(path: str, pictures: Tensor, expected: tuple[Tensor, Tensor]) -> float:
    import numpy as np  # noqa: PLC0415 - only when building
    import onnxruntime  # noqa: PLC0415 - heavy

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores, features = session.run(["scores", "features"], {"images": pictures.numpy()})
    return max(
        float(np.abs(scores - expected[0].numpy()).max()),
        float(np.abs(features - expected[1].numpy()).max()),
    )
