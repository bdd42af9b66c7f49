"""Renders Triton's config.pbtxt from a catalog entry, through Triton's own protobuf message: valid by construction."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from deploy.models.catalog import Gpu, Labels, Model, PackageSource, Tensor

# Of dimensions that may have any size.
WARM_UP_LENGTH = 16
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
    }
    return facts if model.task else {}


def config(model: Model, labels: Labels, metrics: dict[str, float]) -> str:
    """The text of config.pbtxt for the embedded server, whose backends are ours."""
    message = _common(model, card(model, labels, metrics) | _pace(model))
    if not model.runtime.decoupled:  # whose many responses say by themselves when they came
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


def gpu_config(model: Model, labels: Labels, metrics: dict[str, float]) -> str | None:
    """The text of configs/gpu.pbtxt, for the backends of the NGC images (--model-config-name gpu), or None.

    Their onnxruntime backend neither pads nor returns its own timing: the server traces instead. Their vLLM backend
    reads 1/model.json, places the model itself, and has never been run with our configuration on a GPU.
    """
    kind = model_config_pb2.ModelInstanceGroup
    message = _common(model, card(model, labels, metrics))
    if model.gpu:
        message.backend = model.gpu.backend
        for name in model.runtime.parameters:  # meant for the code that runs on a CPU
            del message.parameters[name]
        message.instance_group.add(count=1, kind=kind.KIND_MODEL)
    elif model.runtime.backend == "onnxruntime":
        message.instance_group.add(count=1, kind=kind.KIND_GPU)
    else:
        return None
    return _text(message)


def vllm_engine(gpu: Gpu) -> str:
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
        _warm_up(message)
    return message


def _warm_up(message: model_config_pb2.ModelConfig) -> None:
    """One inference on zeros before the model is ready: the first real one would take several times as long."""
    warmup = message.model_warmup.add(name="zeros", batch_size=1 if message.max_batch_size else 0)
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
