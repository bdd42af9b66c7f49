"""Renders Triton's config.pbtxt from a catalog entry, through Triton's own protobuf message: valid by construction."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from deploy.models.catalog import Labels, Model, PackageSource, Tensor
from deploy.models.gpu import OnnxGpu, VllmGpu

# Of dimensions that may have any size.
WARM_UP_LENGTH = 16
# Where TensorRT keeps what it built: /tmp of the container.
ENGINES = "/tmp"  # noqa: S108 - a volume of the pod
# In every model of ours: when the execution began and ended. Computed only when a request asks for it.
EXECUTION = Tensor(name="execution_ns", dtype="INT64", shape=[2])


def card(model: Model, labels: Labels, metrics: dict[str, float]) -> dict[str, Any]:
    """What services read about the model, as JSON-able values."""
    packages = [source.package for source in model.sources if isinstance(source, PackageSource)]
    facts: dict[str, Any] = {
        "task": model.task,
        "summary": model.summary,
        "default": model.default,
        "languages": model.languages,
        "language_notes": model.language_notes,
        "note": model.note,
        "licence": model.licence,
        "source": model.source or (packages[0] if packages else "local"),
        "other_tasks": model.other_tasks,
        "labels": labels.names,
        "label_ids": labels.ids,
        "preprocess": model.preprocess,
        "postprocess": model.postprocess,
        "metrics": {**model.metrics, **metrics},
        "monitor": [measure.model_dump() for measure in model.monitor],
    }
    return facts if model.task else {}


def config(model: Model, labels: Labels, metrics: dict[str, float]) -> str:
    """The text of config.pbtxt for the embedded server, whose backends are ours."""
    message = _common(model, card(model, labels, metrics) | _pace(model))
    message.output.append(_tensor(EXECUTION, model_config_pb2.ModelOutput))
    for tensor in message.input:
        # Our onnxruntime backend gets each request's tensors apart and pads them itself.
        tensor.allow_ragged_batch = model.runtime.pad_sequences
    if model.runtime.pad_sequences:
        message.parameters["pad_sequences"].string_value = "true"
    kind = model_config_pb2.ModelInstanceGroup
    message.instance_group.add(
        count=model.runtime.instances,
        kind=kind.KIND_AUTO if model.runtime.backend == "onnxruntime" else kind.KIND_CPU,
    )
    return _text(message)


def gpu_config(model: Model, labels: Labels, metrics: dict[str, float]) -> str:
    """The text of configs/gpu.pbtxt, for the backends of NVIDIA's images (--model-config-name gpu).

    Theirs neither pad nor return their own timing: so requests share a batch when they are of one shape, and the server
    traces. Python models are the same there as everywhere.
    """
    gpu = model.gpu
    if gpu is None:
        if model.runtime.backend == "python":
            return config(model, labels, metrics)
        gpu = OnnxGpu(backend="onnxruntime")
    message = _common(model, card(model, labels, metrics))
    message.backend = gpu.backend
    for name in model.runtime.parameters:  # meant for the code that runs on a CPU
        del message.parameters[name]
    kind = model_config_pb2.ModelInstanceGroup
    if isinstance(gpu, VllmGpu):
        message.instance_group.add(count=1, kind=kind.KIND_MODEL)  # it places the model itself
        return _text(message)
    if gpu.max_batch_size:
        message.max_batch_size = gpu.max_batch_size
    if gpu.preferred_batch_sizes:
        message.dynamic_batching.preferred_batch_size.extend(sorted(gpu.preferred_batch_sizes))
    on_cpu = isinstance(gpu, OnnxGpu) and gpu.kind == "cpu"
    message.instance_group.add(count=gpu.instances, kind=kind.KIND_CPU if on_cpu else kind.KIND_GPU)
    if isinstance(gpu, OnnxGpu):
        _tune(message, gpu)
    del message.model_warmup[:]
    # The largest batch, too: memory is laid out, algorithms are chosen and engines are built for what was seen.
    for size in dict.fromkeys((1, message.max_batch_size)) if message.max_batch_size else (0,):
        _warm_up(message, size)
    return _text(message)


def _tune(message: model_config_pb2.ModelConfig, gpu: OnnxGpu) -> None:
    """What ONNX Runtime's C++ backend is told beside."""
    # By itself each model would start a thread a core, and they wait for each other spinning.
    message.parameters["intra_op_thread_count"].string_value = "1"
    if gpu.kind == "cpu":
        return
    # 1: heuristic. By itself every new size of a batch or picture would have all algorithms tried, in the middle of a
    # call. A parameter, since the backend overwrites the same option of its `cuda` accelerator where there are any.
    message.parameters["cudnn_conv_algo_search"].string_value = "1"
    if gpu.tensorrt:
        accelerator = message.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        accelerator.parameters["precision_mode"] = gpu.precision
        # Kept for the next start of the container; a directory that is there and can be written to.
        accelerator.parameters["trt_engine_cache_enable"] = "true"
        accelerator.parameters["trt_engine_cache_path"] = ENGINES
        accelerator.parameters["trt_engine_cache_prefix"] = message.name


def vllm_engine(gpu: VllmGpu) -> str:
    """The text of 1/model.json: the arguments of vLLM's engine."""
    return json.dumps({"model": gpu.model, **gpu.engine}, indent=2, sort_keys=True) + "\n"


def _pace(model: Model) -> dict[str, Any]:
    """What is true of the model on a processor only."""
    pace = model.runtime.reads_tokens_per_second
    return {} if pace is None else {"reads_tokens_per_second": pace}


def _common(model: Model, facts: dict[str, Any]) -> model_config_pb2.ModelConfig:
    message = model_config_pb2.ModelConfig(
        name=model.name,
        backend=model.runtime.backend,
        max_batch_size=model.runtime.max_batch_size,
        input=[_tensor(tensor, model_config_pb2.ModelInput) for tensor in model.inputs],
        output=[_tensor(tensor, model_config_pb2.ModelOutput) for tensor in model.outputs],
    )
    message.version_policy.latest.num_versions = 1
    if model.runtime.decoupled:
        message.model_transaction_policy.decoupled = True
    if model.runtime.max_batch_size:
        message.dynamic_batching.SetInParent()
    for name, value in sorted(model.runtime.parameters.items()):
        message.parameters[name].string_value = value
    if facts:
        message.parameters["maas"].string_value = json.dumps(facts, ensure_ascii=False, sort_keys=True)
    if model.runtime.backend == "onnxruntime":
        _warm_up(message, 1 if message.max_batch_size else 0)
    return message


def _warm_up(message: model_config_pb2.ModelConfig, rows: int) -> None:
    """One inference on zeros before the model is ready: the first real one would take several times as long.

    rows: of its batch; 0 for a model without a batch dimension.
    """
    warmup = message.model_warmup.add(name=f"zeros-{rows}" if rows > 1 else "zeros", batch_size=rows)
    for tensor in message.input:
        dims = [WARM_UP_LENGTH if size < 0 else size for size in tensor.dims]
        warmup.inputs[tensor.name].CopyFrom(
            model_config_pb2.ModelWarmup.Input(data_type=tensor.data_type, dims=dims, zero_data=True)
        )


def _tensor(tensor: Tensor, kind: type[Any]) -> Any:
    data_type = "STRING" if tensor.dtype == "BYTES" else tensor.dtype
    message = kind(
        name=tensor.name,
        data_type=model_config_pb2.DataType.Value(f"TYPE_{data_type}"),
        dims=tensor.shape,
    )
    if tensor.optional:
        message.optional = True
    return message


def _text(message: model_config_pb2.ModelConfig) -> str:
    return str(text_format.MessageToString(message, as_utf8=True))
