"""A language model that says what a test wants, and the RPCs that need one behind a real server."""

import json
from collections.abc import Callable
from contextlib import asynccontextmanager

import numpy as np

from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.cache import AnswerCache
from services.mesh.models import ModelCard
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.nlp.pipelines.analysis.analysis import Analysis
from services.nlp.pipelines.cache import size_of
from services.nlp.pipelines.writing import Writing
from services.nlp.rpc.conversation import ConversationRpcs
from services.nlp.rpc.summary import SummaryRpcs

WRITER = ModelCard(
    name="writer",
    task="text-generation",
    summary="Writes.",
    default=True,
    languages=("en", "zh"),
    preprocess={
        "chat_template": "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]",
        "special_tokens": ["<|im_start|>", "<|im_end|>"],
    },
)
EMBEDDER = ModelCard(
    name="embedder",
    task="text-embedding",
    summary="Embeds.",
    languages=("en", "zh"),
    preprocess={"tokenizer": "words", "max_tokens": 64},
)
NAMER = ModelCard(name="namer", task="entity-recognition", summary="Names.", languages=("en",))


def says(*texts: str, reason: str = "stop", tokens: int = 7):
    """What the model answers: these pieces, then why it stopped."""
    pieces = [(text, "") for text in texts] + [("", reason)]
    return [
        {
            "text_output": np.array([text.encode()], object),
            "finish_reason": np.array([why.encode()], object),
            "num_input_tokens": np.array([tokens], np.uint32),
            "num_output_tokens": np.array([1], np.uint32),
        }
        for text, why in pieces
    ]


def embed(model: str, inputs):
    """Texts are alike as far as they have words of the same length; a name is what stands before " said"."""
    if model == "namer":
        return {"entities": np.array([[_names(row.item().decode())] for row in inputs["text"]], object)}
    vectors = np.zeros((len(inputs["input_ids"]), 32), np.float32)
    for row, ids in zip(vectors, inputs["input_ids"], strict=True):
        for length in ids[ids > 0]:
            row[length % 32] += 1
    return {"embedding": vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)}


def _names(text: str) -> bytes:
    end = text.find(" said")
    return json.dumps([{"begin": 0, "end": end, "type": "PERSON", "score": None}] if end > 0 else []).encode()


class _Writer(SummaryRpcs, ConversationRpcs):
    def __init__(self, writing: Writing) -> None:
        self._replies, self._answers, self._summarizer = writing.replies, writing.answers, writing.summarizer
        self._at_once = 4


@asynccontextmanager
async def writer(
    answer: Callable[[str], object] = lambda prompt: says("Hello."), *, inference=None, card=WRITER, **models
):
    """The stub of a service whose model answers a prompt as `answer` does, and what the model was asked."""
    inference = inference or FakeInference(embed, lambda _, inputs: answer(inputs["text_input"].item().decode()))
    known = await known_models(card, EMBEDDER, NAMER, **models)
    preprocessor = FakePreprocessor()
    analysis = Analysis.over(inference, preprocessor, known, AnswerCache("nlp", 0, size_of))
    implementation = _Writer(Writing.over(inference, preprocessor, analysis))
    servicer = Servicer(
        "maas.nlp.v1.NlpService", nlp_pb2_grpc.add_NlpServiceServicer_to_server, implementation, known.ready
    )
    async with serve(servicer) as channel:
        yield nlp_pb2_grpc.NlpServiceStub(channel), inference


def prompts(inference: FakeInference) -> list[str]:
    """What the language model was asked, in order."""
    return [inputs["text_input"].item().decode() for _, inputs, _ in inference.calls if "text_input" in inputs]


def parameters(inference: FakeInference) -> list[dict]:
    """How it was to write."""
    return [
        json.loads(inputs["sampling_parameters"].item()) for _, inputs, _ in inference.calls if "text_input" in inputs
    ]
