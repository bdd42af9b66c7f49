"""What services and Triton read about a model is rendered from its catalog entry."""

from __future__ import annotations

import json

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from deploy.models import render
from deploy.models.catalog import Labels, Model


def parsed(text):
    """The configuration as Triton reads it."""
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_a_batching_onnx_model(entry):
    """Batch size, instances, dynamic batching, warm-up and tensors are as in the catalog."""
    config = parsed(render.config(Model.model_validate(entry), Labels(["no", "yes"], []), {}))
    assert (config.name, config.backend, config.max_batch_size) == ("tiny", "onnxruntime", 4)
    assert config.HasField("dynamic_batching")
    assert config.instance_group[0].count == 2
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert config.input[0].data_type == model_config_pb2.TYPE_UINT8
    assert list(config.input[0].dims) == [8, 8, 3]
    assert config.model_warmup[0].inputs["images"].zero_data
    assert not config.input[0].allow_ragged_batch


def test_the_timing_output_is_added(entry):
    """Every model has execution_ns, int64 [begin, end], beside its own outputs."""
    config = parsed(render.config(Model.model_validate(entry), Labels([], []), {}))
    assert [output.name for output in config.output] == ["scores", "execution_ns"]
    assert list(config.output[1].dims) == [2]


def test_the_card(entry):
    """The card under the parameter `maas` has what services look for, with measured metrics merged in."""
    model = Model.model_validate(
        entry | {"metrics": {"size": 1.0}, "preprocess": {"width": 8}, "postprocess": {"max_distance": 0.5}}
    )
    config = parsed(render.config(model, Labels(["no", "yes"], ["n0", "n1"]), {"accuracy": 0.5}))
    assert json.loads(config.parameters["maas"].string_value) == {
        "task": "image-classification",
        "summary": "A tiny model",
        "default": False,
        "languages": [],
        "language_notes": {},
        "note": "",
        "licence": "MIT",
        "source": "pypi:tiny==1.0",
        "other_tasks": [],
        "labels": ["no", "yes"],
        "label_ids": ["n0", "n1"],
        "preprocess": {"width": 8},
        "postprocess": {"max_distance": 0.5},
        "metrics": {"size": 1.0, "accuracy": 0.5},
        "monitor": [],
    }


def test_a_model_without_a_task_has_no_card(entry):
    """The canary is nobody's model: services must not discover it."""
    config = parsed(render.config(Model.model_validate(entry | {"task": None}), Labels([], []), {}))
    assert "maas" not in config.parameters


def test_a_python_model(entry):
    """A Python model without batching runs on the CPU and gets its parameters; BYTES is Triton's STRING."""
    entry["runtime"] = {"backend": "python", "code": "canary", "parameters": {"threads": "1"}}
    entry["inputs"] = [{"name": "text", "dtype": "BYTES", "shape": [1]}]
    config = parsed(render.config(Model.model_validate(entry), Labels([], []), {}))
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    assert config.parameters["threads"].string_value == "1"
    assert config.input[0].data_type == model_config_pb2.TYPE_STRING
    assert not config.HasField("dynamic_batching")
    assert not config.model_warmup


def decoupled(entry):
    """A model that answers piece by piece."""
    entry["runtime"] = {"backend": "python", "code": "llama", "decoupled": True, "parameters": {"slots": "4"}}
    entry["inputs"] = [{"name": "stream", "dtype": "BOOL", "shape": [1], "optional": True}]
    return entry


def test_a_decoupled_model(entry):
    """Triton is told so; optional inputs are optional, and it has a timing output as the others have."""
    config = parsed(render.config(Model.model_validate(decoupled(entry)), Labels([], []), {}))
    assert config.model_transaction_policy.decoupled
    assert config.input[0].optional
    assert [output.name for output in config.output] == ["scores", "execution_ns"]


def test_a_model_for_vllm(entry):
    """On a GPU Triton's vLLM backend serves the same tensors and card, with the engine's arguments in model.json."""
    entry = decoupled(entry) | {"gpu": {"backend": "vllm", "model": "a/b", "engine": {"max_model_len": 9}}}
    model = Model.model_validate(entry)
    cpu, gpu = parsed(render.config(model, Labels([], []), {})), parsed(render.gpu_config(model, Labels([], []), {}))
    assert gpu.backend == "vllm"
    assert gpu.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_MODEL
    assert gpu.model_transaction_policy.decoupled
    assert gpu.input == cpu.input
    assert [*gpu.output, cpu.output[-1]] == list(cpu.output)
    assert cpu.output[-1].name == "execution_ns"
    assert set(gpu.parameters) == {"maas"}
    assert json.loads(render.vllm_engine(model.gpu)) == {"model": "a/b", "max_model_len": 9}


def test_the_pace_of_a_processor_is_not_that_of_a_gpu(entry):
    """How fast a language model reads is told where it was measured, and nowhere else."""
    entry = decoupled(entry) | {"gpu": {"backend": "vllm", "model": "a/b"}}
    entry["runtime"]["reads_tokens_per_second"] = 22
    model = Model.model_validate(entry)
    cpu, gpu = parsed(render.config(model, Labels([], []), {})), parsed(render.gpu_config(model, Labels([], []), {}))
    assert json.loads(cpu.parameters["maas"].string_value)["reads_tokens_per_second"] == 22
    assert "reads_tokens_per_second" not in json.loads(gpu.parameters["maas"].string_value)


def test_the_card_tells_weaknesses_and_the_choice(entry):
    """Language notes and the reason of a choice come into the card."""
    notes = {"languages": ["fr"], "language_notes": {"fr": "Weak."}, "note": "tiny: asked for."}
    facts = render.card(Model.model_validate(entry | notes), Labels([], []), {})
    assert (facts["language_notes"], facts["note"]) == ({"fr": "Weak."}, "tiny: asked for.")


@pytest.mark.parametrize(("renderer", "ragged"), [(render.config, True), (render.gpu_config, False)])
def test_padding_is_for_our_backend_only(entry, renderer, ragged):
    """Requests of different lengths share a batch where our backend pads them, not in the C++ one."""
    entry["runtime"]["pad_sequences"] = True
    config = parsed(renderer(Model.model_validate(entry), Labels([], []), {}))
    assert config.input[0].allow_ragged_batch is ragged
    assert ("pad_sequences" in config.parameters) is ragged
    assert ("execution_ns" in [output.name for output in config.output]) is ragged
