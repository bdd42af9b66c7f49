"""Rebuilds Resemblyzer's voice encoder from its weights, with what goes before and after it, and exports it.

The network is that of Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018: three LSTM layers that
read mel spectra of 1.6 seconds. Resemblyzer makes the spectra with librosa and means over such pieces in numpy; here
both are part of the graph, so that sound goes in and one vector comes out.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

VERSIONS = ("torch", "onnxruntime")
HERTZ = 16_000
WINDOW = 400  # samples of a spectrum, 25 ms
HOP = 160  # samples from one spectrum to the next, 10 ms
MELS = 40
SIZE = 256  # of the layers and of the vector
LAYERS = 3
FRAMES = 160  # spectra that the network reads at once, 1.6 s
STEP = 77  # spectra from one such piece to the next: 1.3 a second
LEAST_COVERAGE = 0.75  # of the last piece by sound; it is left out with less, if it is not the only one
LEAST_LEVEL = 10 ** (-30 / 20)  # root mean square; quieter sound is made as loud as that
LARGEST_DIFFERENCE = 1e-5


class Options(BaseOptions):
    """weights: the file of the package that torch reads."""

    weights: str


def build(work: Work) -> dict[str, float]:
    """Write model.onnx: audio float32[T], 16 kHz, T > 0 -> embedding float32[256] of length 1, no element below 0."""
    import torch  # noqa: PLC0415 - heavy

    options: Options = work.options
    work.report("reading the weights")
    checkpoint = torch.load(work.file(options.weights), map_location="cpu", weights_only=True)
    model = network(checkpoint["model_state"])
    audio = torch.randn(3 * HERTZ, generator=torch.Generator().manual_seed(0)) / 10
    path = str(work.folder / "model.onnx")
    work.report("exporting to ONNX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter says that it is old; the new one has no fixed opset
        torch.onnx.export(
            model,
            (audio,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["audio"],
            output_names=["embedding"],
            dynamic_axes={"audio": {0: "samples"}},
        )
    # Pieces are counted in the graph: also of sound shorter and longer than what was traced.
    lengths = (HERTZ // 2, 3 * HERTZ, 11 * HERTZ + 1)
    difference = max(_difference(path, audio.repeat(4)[:length], model) for length in lengths)
    if difference > LARGEST_DIFFERENCE:
        message = f"ONNX and PyTorch differ by {difference:.1e}: check the versions of torch and onnxruntime."
        raise BuildError(message)
    return {"onnx_largest_difference": difference}


def mel_filters() -> NDArray[np.float32]:
    """Which shares of the WINDOW // 2 + 1 frequencies make each mel band: float32[MELS, WINDOW // 2 + 1].

    Triangles between points that are equally far apart on Slaney's mel scale (Auditory Toolbox, 1998), from 0 Hz to
    half the rate, each of area 1: linear below 1000 Hz, 15 a kilohertz, and logarithmic above, 27 for a factor of 6.4.
    """
    import numpy as np  # noqa: PLC0415 - only when building

    knee, step = 15.0, np.log(6.4) / 27
    highest = knee + np.log(HERTZ / 2 / 1000) / step
    mels = np.linspace(0, highest, MELS + 2)
    points = np.where(mels < knee, mels * 1000 / knee, 1000 * np.exp(step * (mels - knee)))
    frequencies = np.arange(WINDOW // 2 + 1) * HERTZ / WINDOW
    left, middle, right = points[:-2, None], points[1:-1, None], points[2:, None]
    rising, falling = (frequencies - left) / (middle - left), (right - frequencies) / (right - middle)
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return np.asarray(filters, np.float32)


def network(weights: Mapping[str, Tensor]) -> nn.Module:
    """From sound to the vector of the voice, with these weights."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn import functional  # noqa: PLC0415 - heavy

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(MELS, SIZE, LAYERS, batch_first=True)
            self.linear = torch.nn.Linear(SIZE, SIZE)
            self.load_state_dict(dict(weights), strict=False)  # two more were for training alone
            time = torch.arange(WINDOW, dtype=torch.float64)
            turns = torch.outer(torch.arange(WINDOW // 2 + 1), time) * (2 * torch.pi / WINDOW)
            hann = 0.5 - 0.5 * torch.cos(2 * torch.pi * time / WINDOW)
            waves = torch.cat([turns.cos(), turns.sin()]) * hann
            self.waves = waves.float()[:, None]
            self.filters = torch.from_numpy(mel_filters())

        def spectra(self, audio: Tensor) -> Tensor:
            """float32[T] -> float32[F, MELS], of power; the sound is followed by so much silence that F is enough."""
            padded = functional.pad(audio, (WINDOW // 2, WINDOW // 2 + FRAMES * HOP))
            parts = functional.conv1d(padded[None, None], self.waves, stride=HOP)[0]
            cosine, sine = parts.chunk(2)
            return (self.filters @ (cosine**2 + sine**2)).T

        def forward(self, audio: Tensor) -> Tensor:
            """audio: float32[T] -> float32[SIZE]."""
            level = audio.square().mean().sqrt().clamp(min=1e-9)
            spectra = self.spectra(audio * (LEAST_LEVEL / level).clamp(min=1))
            # Shapes stay tensors here, so that the graph counts anew for each sound.
            samples = torch._shape_as_tensor(audio)[0]  # noqa: SLF001 - the exporter's own way
            frames = torch.div(samples, HOP, rounding_mode="floor") + 1
            count = torch.div((frames - FRAMES + STEP + 1).clamp(min=1) + STEP - 1, STEP, rounding_mode="floor")
            covered = samples - (count - 1) * (STEP * HOP)
            spare = (count > 1) & (covered < LEAST_COVERAGE * FRAMES * HOP)
            kept = cast("int", count - spare.long())  # a tensor still, which torch.arange takes
            starts = torch.arange(kept) * STEP
            pieces = spectra[starts[:, None] + torch.arange(FRAMES)]
            _, (hidden, _) = self.lstm(pieces)
            voices = functional.normalize(self.linear(hidden[-1]).relu())
            return functional.normalize(voices.mean(0), dim=0)

    return Network().eval()


def _difference(path: str, audio: Tensor, model: nn.Module) -> float:
    import numpy as np  # noqa: PLC0415 - only when building
    import onnxruntime  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy

    with torch.inference_mode():
        expected = model(audio).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["embedding"], {"audio": audio.numpy()})
    return float(np.abs(found - expected).max())
