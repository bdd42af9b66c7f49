"""The analysis RPCs over a real socket, with faked ports and small models."""

import json
from contextlib import asynccontextmanager

import numpy as np

from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.cache import AnswerCache
from services.mesh.models import ModelCard
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.nlp.pipelines.analysis.analysis import Analysis
from services.nlp.pipelines.cache import size_of
from services.nlp.rpc.analysis import AnalysisRpcs

TOKENS = {"tokenizer": "words", "max_tokens": 4}
JUDGE = ModelCard(name="judge", task="sentiment-analysis", summary="Judges.", languages=("en",), preprocess=TOKENS)
EMBEDDER = ModelCard(name="embedder", task="text-embedding", summary="Embeds.", languages=("en",), preprocess=TOKENS)
TOPICS = ModelCard(
    name="topics",
    task="text-classification",
    summary="Sorts.",
    languages=("en", "zh"),
    labels=("sport", "trade", "weather"),
    preprocess={"embedding_model": "embedder", "prefix": "passage"},
)
NAMES = ModelCard(name="names-en", task="entity-recognition", summary="Finds.", languages=("en",), max_batch_size=2)
CARDS = (JUDGE, EMBEDDER, TOPICS, NAMES)


def answer(model, inputs):
    """By the length of each text's first word; "Ada" is the only name."""
    if "text" in inputs:
        found = [[_name(row.item().decode())] if b"Ada" in row.item() else [] for row in inputs["text"]]
        return {"entities": np.array([[json.dumps(each).encode()] for each in found], object)}
    if "embedding" in inputs:
        row = np.float32([0.2, 0.8] if model.startswith("judge") else [0.2, 0.7, 0.1])
        return {"probabilities": np.tile(row, (len(inputs["embedding"]), 1))}
    first = inputs["input_ids"][:, 0]
    if model.startswith("judge"):
        good = np.clip(first / 10, 0, 1).astype(np.float32)
        return {"probabilities": np.stack([1 - good, good], axis=1)}
    angles = first / 10
    return {"embedding": np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)}


def _name(text):
    begin = text.index("Ada")
    return {"begin": begin, "end": begin + 3, "type": "PERSON", "score": None}


class Only(AnalysisRpcs):
    """The RPCs of analysis and no others."""

    def __init__(self, analysis):
        self._analysis = analysis


@asynccontextmanager
async def analysis(answer=answer, *, cards=CARDS, preprocessor=None, inference=None, cache_bytes=0, loading=()):
    """A stub of the service, and the inference that it uses."""
    inference = inference or FakeInference(answer)
    models = await known_models(*cards, loading=loading)
    cache = AnswerCache("nlp", cache_bytes, size_of)
    rpcs = Only(Analysis.over(inference, preprocessor or FakePreprocessor(), models, cache))
    served = Servicer("maas.nlp.v1.NlpService", nlp_pb2_grpc.add_NlpServiceServicer_to_server, rpcs)
    async with serve(served) as channel:
        yield nlp_pb2_grpc.NlpServiceStub(channel), inference
