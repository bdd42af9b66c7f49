"""What a catalog entry may say under `gpu`: how the backends of NVIDIA's image serve the model, with the same tensors.

Optional: without it an onnxruntime model runs on the GPU by the defaults of OnnxGpu, and a Python model on the CPU, as
everywhere. It is rendered into the model's configs/gpu.pbtxt, which `--model-config-name gpu` picks. We had no GPU to
run any of it on: what is written here of the backends is what their documentation and source say.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_TORCH_OUTPUT = re.compile(r".+__\d+")

BatchSize = Annotated[int, Field(ge=1, le=1024)]


class Served(NamedTuple):
    """What the rest of the entry says. sizes: all dimensions of all inputs, -1 is any; outputs: their names."""

    backend: str
    max_batch_size: int
    decoupled: bool
    sizes: list[int]
    outputs: list[str]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Scheduled(_Frozen):
    """How Triton hands requests to the model."""

    instances: int = Field(1, ge=1, le=16, description="a GPU; a second lets copies overlap with computing")
    max_batch_size: BatchSize | None = Field(
        None, description="when a GPU bears more rows at once than a processor; by itself as in `runtime`"
    )
    preferred_batch_sizes: list[BatchSize] = Field(
        default_factory=list,
        description="batches that the model is much faster with than with others; by itself as many as wait",
    )

    def problem(self, served: Served) -> str | None:
        """The field that does not go with the rest of the entry, and why."""
        largest = self.max_batch_size or served.max_batch_size
        if self.max_batch_size and not served.max_batch_size:
            return "max_batch_size: the model takes no batch dimension"
        if any(size > largest for size in self.preferred_batch_sizes):
            return f"preferred_batch_sizes: the largest batch is {largest}"
        return None


class OnnxGpu(_Scheduled):
    """ONNX Runtime's CUDA provider, and TensorRT in front of it where it pays.

    CUDA graphs are left off: they repeat one shape at one address, and the rows of our batches vary.
    """

    backend: Literal["onnxruntime"]
    kind: Literal["gpu", "cpu"] = Field(
        "gpu", description="cpu: a model so small that to copy its input to the GPU takes longer than to compute"
    )
    tensorrt: bool = Field(
        default=False,
        description="engines are built at the first load, which takes minutes; inputs must be of a fixed size, since "
        "another size is another engine",
    )
    precision: Literal["FP32", "FP16"] = Field(
        "FP32",
        description="of TensorRT; FP16 is faster, and what was measured in FP32, a threshold for one, may not hold",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.tensorrt and self.kind == "cpu":
            message = "tensorrt runs on a GPU only"
            raise ValueError(message)
        if self.precision != "FP32" and not self.tensorrt:
            message = "precision is for tensorrt only"
            raise ValueError(message)
        return self

    def problem(self, served: Served) -> str | None:
        """The field that does not go with the rest of the entry, and why."""
        if served.backend != self.backend:
            return "backend: onnxruntime serves what it serves on a CPU, too"
        if self.tensorrt and min(served.sizes) < 0:
            return "tensorrt: an input of any size would mean an engine for each"
        return super().problem(served)


class TorchGpu(_Scheduled):
    """LibTorch: the builder puts TorchScript into model.pt, whose outputs are named <name>__0, <name>__1 and so on."""

    backend: Literal["pytorch"]

    def problem(self, served: Served) -> str | None:
        """The field that does not go with the rest of the entry, and why."""
        if not all(_TORCH_OUTPUT.fullmatch(name) for name in served.outputs):
            return "backend: pytorch tells outputs by their number, <name>__0, <name>__1"
        return super().problem(served)


class VllmGpu(_Frozen):
    """vLLM, for language models; it forms batches by itself and takes its weights from the model hub or a volume."""

    backend: Literal["vllm"]
    model: str = Field(min_length=1, description="id on the model hub, or a directory in the server's container")
    engine: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="further arguments of vLLM's engine, for example max_model_len"
    )

    def problem(self, served: Served) -> str | None:
        """The field that does not go with the rest of the entry, and why."""
        return None if served.decoupled else "backend: vllm answers piece by piece, so the model must be decoupled"


Gpu = Annotated[OnnxGpu | TorchGpu | VllmGpu, Field(discriminator="backend")]
