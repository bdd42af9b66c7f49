"""What tests of the preprocessing service share: its pipelines on a model of fakes, and a failed call's details."""

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tokenizers import Tokenizer, models, pre_tokenizers

from services.mesh import errors
from services.mesh.models import ModelCard
from services.mesh.testing import FakeInference, known_models
from services.preprocessing.pipelines.fetch.fetcher import Fetcher
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.pipelines.languages import TASK, LanguageIdentifier
from services.preprocessing.pipelines.sound.sounds import Sounds
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.video.extract import FrameExtractor


def tokenizers() -> Tokenizers:
    tokenizer = Tokenizer(models.WordLevel({"?": 1, "good": 4, "film": 6}, unk_token="?"))  # noqa: S106 - no secret
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Tokenizers({"words": tokenizer})


LID = ModelCard(name="lid", task=TASK, summary="Tells languages.")


def answer(model, inputs) -> dict[str, np.ndarray] | errors.MeshError:
    """As a model of languages that knows English only, and whose queue is full for one text."""
    if b"busy" in inputs["text"]:
        return errors.Exhausted("the queue of model 'lid' is full", retry_after_seconds=1)
    return {"languages": np.full(inputs["text"].shape, b'[["en", 0.75], ["pt", 0.125]]', np.object_)}


async def pipelines(workers, *, loading=(), fetcher=None) -> InputPipelines:
    inference, known = FakeInference(answer), await known_models(LID, loading=loading)
    return InputPipelines(
        tokenizers(),
        workers,
        LanguageIdentifier(inference, known),
        fetcher or Fetcher(),
        extractor=FrameExtractor(),
        sounds=Sounds(SoundStreamer(), inference, known),
    )


async def refused(call) -> tuple[grpc.StatusCode, list[object]]:
    """The code of a failed call, and the details of its status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    kinds = {
        kind.DESCRIPTOR.full_name: kind
        for kind in vars(error_details_pb2).values()
        if hasattr(kind, "DESCRIPTOR") and hasattr(kind, "FromString")
    }
    status = rpc_status.from_call(caught.value)
    return caught.value.code(), [
        kinds[detail.type_url.rpartition("/")[2]].FromString(detail.value) for detail in status.details
    ]
