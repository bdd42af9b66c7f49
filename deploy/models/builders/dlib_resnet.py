"""Rebuilds dlib's face recognition network (29 convolutions) from face-api's copy of its weights, and exports it.

The network is that of Davis King's dnn_face_recognition_ex.cpp; face-api ships its weights alone, one byte each, with a
list that says how they lie in the file.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions
from deploy.models.builders._tfjs import read_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

VERSIONS = ("torch", "onnxruntime")
SIDE = 150  # pixels of an aligned face
MEAN_RGB = (122.782, 117.001, 104.298)
# In order; those with "down" halve the resolution.
BLOCKS = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)
LARGEST_DIFFERENCE = 1e-5


class Options(BaseOptions):
    """weights: the bytes; manifest: the JSON list that says what they mean."""

    weights: str
    manifest: str


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: images uint8[N, 150, 150, 3], aligned -> embedding float32[N, 128] of length 1."""
    import torch  # noqa: PLC0415 - heavy

    options: Options = work.options
    work.report("reading the weights")
    (group,) = json.loads(work.file(options.manifest).read_text(encoding="utf-8"))
    model = network(read_weights(work.file(options.weights).read_bytes(), group["weights"]))
    faces = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8)
    path = str(work.folder / "model.onnx")
    work.report("exporting to ONNX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter says that it is old; the new one has no fixed opset
        torch.onnx.export(
            model,
            (faces,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["images"],
            output_names=["embedding"],
            dynamic_axes={"images": {0: "batch"}, "embedding": {0: "batch"}},
        )
    difference = _difference(path, faces, model)
    if difference > LARGEST_DIFFERENCE:
        message = f"ONNX and PyTorch differ by {difference:.1e}: check the versions of torch and onnxruntime."
        raise BuildError(message)
    return {"onnx_largest_difference": difference}


def network(weights: dict[str, NDArray[np.float32]]) -> nn.Module:
    """The network with these weights, from pictures to vectors."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn import functional  # noqa: PLC0415 - heavy

    class Network(torch.nn.Module):
        def convolution(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
            kernel = torch.from_numpy(weights[f"{name}/conv/filters"].transpose(3, 2, 0, 1).copy())
            bias, scale, shift = (
                torch.from_numpy(weights[f"{name}/{part}"]) for part in ("conv/bias", "scale/weights", "scale/biases")
            )
            # The scale belongs to the kernel as well as to its result.
            padding = kernel.shape[-1] // 2 if stride == 1 else 0
            return functional.conv2d(x, kernel * scale.reshape(-1, 1, 1, 1), bias * scale + shift, stride, padding)

        def block(self, name: str, x: Tensor) -> Tensor:
            halved = "down" in name
            inner = functional.relu(self.convolution(f"{name}/conv1", x, 2 if halved else 1))
            y = self.convolution(f"{name}/conv2", inner)
            if halved:
                x = functional.avg_pool2d(x, 2, 2)
                # Where one of the two has more rows, columns or channels, the other is filled up with zeros.
                rows, columns = (max(x.shape[axis], y.shape[axis]) for axis in (2, 3))
                channels = max(x.shape[1], y.shape[1])
                x, y = (
                    functional.pad(z, (0, columns - z.shape[3], 0, rows - z.shape[2], 0, channels - z.shape[1]))
                    for z in (x, y)
                )
            return functional.relu(x + y)

        def forward(self, images: Tensor) -> Tensor:
            """images: uint8[N, 150, 150, 3] RGB -> float32[N, 128] of length 1."""
            x = (images.float() - torch.tensor(MEAN_RGB)).permute(0, 3, 1, 2) / 255.0
            x = functional.relu(self.convolution("conv32_down", x, 2))
            x = functional.max_pool2d(x, 3, 2)
            for name in BLOCKS:
                x = self.block(name, x)
            return functional.normalize(x.mean((2, 3)) @ torch.from_numpy(weights["fc"]))

    return Network().eval()


def _difference(path: str, faces: Tensor, model: nn.Module) -> float:
    import numpy as np  # noqa: PLC0415 - only when building
    import onnxruntime  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy

    with torch.inference_mode():
        expected = model(faces).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["embedding"], {"images": faces.numpy()})
    return float(np.abs(found - expected).max())
