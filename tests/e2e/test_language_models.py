"""Embeddings, sentiment, topics and labels by Triton, on texts that none was trained on: as good as the card says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

DATA = Path(__file__).parent / "data"
ZERO_SHOT = yaml.safe_load((DATA / "zero_shot.yaml").read_text(encoding="utf-8"))
TOPICS = yaml.safe_load((DATA / "topics.yaml").read_text(encoding="utf-8"))
ENCODER = "multilingual-e5-small"
TYPES = {"INT64": np.int64, "FP32": np.float32}
BATCH = 32
# Of a held-out text, for the sake of time.
CHARACTERS = 400
SECONDS = 120


class Models:
    """Triton, asked for vectors and probabilities."""

    def __init__(self, channel: grpc.Channel, build: Path) -> None:
        self._stub = GRPCInferenceServiceStub(channel)
        self._build = build

    def card(self, model: str) -> dict[str, Any]:
        """The model's catalog entry, as services see it."""
        config = self._stub.ModelConfig(pb.ModelConfigRequest(name=model), timeout=SECONDS).config
        card: dict[str, Any] = json.loads(config.parameters["maas"].string_value)
        return card

    def held_out(self, model: str) -> list[dict[str, str]]:
        """The texts that the model's builder did not train on."""
        # Not splitlines(), which also splits at U+0085 and the like inside a text.
        with (self._build / "models" / model / "1" / "held_out.jsonl").open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def embed(self, texts: list[str], kind: str = "query", model: str = ENCODER) -> NDArray[np.float32]:
        """Vectors of length one, float32[N, 384]; two batches of like length at a time."""
        facts = self.card(model)["preprocess"]
        tokenizer = Tokenizer.from_file(str(self._build / "assets" / "tokenizers" / f"{facts['tokenizer']}.json"))
        tokenizer.enable_truncation(facts["max_tokens"])
        tokenizer.no_padding()
        prefix = facts.get("prefixes", {}).get(kind, "")
        tokens = [encoding.ids for encoding in tokenizer.encode_batch([prefix + text for text in texts])]
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        batches = [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]

        def run(members: list[int]) -> NDArray[np.float32]:
            ids = np.zeros((len(members), len(tokens[members[-1]])), np.int64)
            mask = np.zeros_like(ids)
            for row, member in enumerate(members):
                length = len(tokens[member])
                ids[row, :length], mask[row, :length] = tokens[member], 1
            return self.infer(model, "embedding", input_ids=ids, attention_mask=mask)

        with ThreadPoolExecutor(2) as pool:
            found = np.concatenate(list(pool.map(run, batches)))
        vectors = np.empty_like(found)
        vectors[order] = found
        return vectors

    def classify(self, texts: list[str], model: str) -> NDArray[np.float32]:
        """Probabilities of a head's labels, float32[N, labels]."""
        facts = self.card(model)["preprocess"]
        vectors = self.embed(texts, facts["prefix"], facts["embedding_model"])
        parts = [vectors[begin : begin + BATCH] for begin in range(0, len(vectors), BATCH)]
        return np.concatenate([self.infer(model, "probabilities", embedding=part) for part in parts])

    def infer(self, model: str, output: str, **inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The output tensor, float32[N, any]."""
        names = {kind: name for name, kind in TYPES.items()}
        request = pb.ModelInferRequest(
            model_name=model,
            inputs=[
                pb.ModelInferRequest.InferInputTensor(name=name, datatype=names[value.dtype.type], shape=value.shape)
                for name, value in inputs.items()
            ],
            outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=output)],
            raw_input_contents=[value.tobytes() for value in inputs.values()],
        )
        response = self._stub.ModelInfer(request, timeout=SECONDS)
        return np.frombuffer(response.raw_output_contents[0], np.float32).reshape(response.outputs[0].shape)


@pytest.fixture(scope="module")
def models(mesh: Any) -> Iterator[Models]:
    """The mesh's own Triton."""
    with grpc.insecure_channel(f"127.0.0.1:{mesh.ports.triton_grpc}") as channel:
        yield Models(channel, mesh.settings.build)


def accuracy(probabilities: NDArray[np.float32], labels: list[str], wanted: list[str]) -> float:
    """The share of rows whose likeliest label is the wanted one."""
    return float(np.mean([labels[row.argmax()] == right for row, right in zip(probabilities, wanted, strict=True)]))


@pytest.mark.parametrize(
    ("model", "language", "least"),
    [("sentiment-e5-en", "en", 0.825), ("sentiment-e5-zh", "zh", 0.80), ("topics-e5", "en", 0.80)],
)
def test_held_out_texts(models: Models, model: str, language: str, least: float) -> None:
    """All texts that the builder held out are judged as well as the card says; it saw none of them in training."""
    rows = models.held_out(model)
    card = models.card(model)
    texts = [row["text"][:CHARACTERS] for row in rows]
    measured = accuracy(models.classify(texts, model), card["labels"], [row["label"] for row in rows])
    assert len(rows) >= 500
    assert {row["language"] for row in rows} == {language}
    # The builder read the first 64 tokens of each; more of a text can only help.
    assert measured >= card["metrics"][f"held_out_accuracy_{language}"] - 0.02
    # .83 to two places for English; another processor may round two texts the other way.
    assert measured >= least


@pytest.mark.parametrize(("language", "least"), [("en", 0.93), ("zh", 0.88)])
def test_topics_of_ordinary_sentences(models: Models, language: str, least: float) -> None:
    """The topics, learned from old English posts, hold for short sentences of today, in Chinese too."""
    texts = [(text, topic) for topic, sentences in TOPICS[language].items() for text in sentences]
    probabilities = models.classify([text for text, _ in texts], "topics-e5")
    assert accuracy(probabilities, models.card("topics-e5")["labels"], [topic for _, topic in texts]) >= least


@pytest.mark.parametrize(
    ("model", "language"),
    [(ENCODER, "en"), (ENCODER, "zh"), (ENCODER, "de"), (ENCODER, "fr"), (ENCODER, "es"), ("minilm-l6", "en")],
)
def test_any_labels(models: Models, model: str, language: str) -> None:
    """Labels that no model was trained for are told as well as the card says, and with about the right confidence."""
    card = models.card(model)
    way = card["preprocess"]["zero_shot"]
    labels = list(ZERO_SHOT[language])
    texts = [(text, label) for label, sentences in ZERO_SHOT[language].items() for text in sentences]
    vectors = models.embed([text for text, _ in texts], "query", model)
    names = models.embed([way["template"][language].format(label=label) for label in labels], "passage", model)
    logits = vectors @ names.T / way["temperature"]
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    measured = accuracy(probabilities, labels, [label for _, label in texts])
    assert measured == pytest.approx(card["metrics"][f"zero_shot_accuracy_{language}"], abs=0.03)
    assert probabilities.max(axis=1).mean() == pytest.approx(measured, abs=0.12)


def test_translations_are_near(models: Models) -> None:
    """Of all Chinese sentences the translation is the nearest to nearly every English one, and the other way round."""
    english, chinese = (
        models.embed([text for sentences in ZERO_SHOT[language].values() for text in sentences])
        for language in ("en", "zh")
    )
    likeness = english @ chinese.T
    own = np.arange(len(english))
    assert np.mean(likeness.argmax(axis=1) == own) >= 0.9
    assert np.mean(likeness.argmax(axis=0) == own) >= 0.9


def test_a_vector_does_not_depend_on_its_batch(models: Models) -> None:
    """Alone, or padded beside a longer text, a text has the same vector."""
    text, longer = "A short sentence.", "A much longer sentence that goes on for quite a while. " * 8
    alone, together = models.embed([text]), models.embed([text, longer])
    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
