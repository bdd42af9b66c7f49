"""Known photos and sentences, and answers that a person would accept; through the gateway."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml

from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2, vision_pb2_grpc

ROOT = Path(__file__).parents[2]
SAMPLES = yaml.safe_load((ROOT / "deploy/models/samples.yaml").read_text())["samples"]
SECONDS = 60


def expecting(answer: str) -> list[object]:
    """The samples of which a person says what that answer should be."""
    return [
        pytest.param(each, id=each["name"])
        for each in SAMPLES
        if each["kind"] == "photo" and answer in each.get("expect", {})
    ]


def content(sample) -> bytes:
    return (ROOT / ".build/samples" / sample["name"]).read_bytes()


@pytest.fixture(scope="module")
def channel(mesh):
    with grpc.insecure_channel(f"127.0.0.1:{mesh.port}") as opened:
        yield opened


@pytest.mark.parametrize("sample", expecting("classes"))
def test_a_photo_is_recognised(channel, sample):
    """The first label is one that a person would give."""
    request = vision_pb2.ClassifyImageRequest(image=media_pb2.Image(content=content(sample)))
    response = vision_pb2_grpc.VisionServiceStub(channel).ClassifyImage(request, timeout=SECONDS)
    assert response.labels[0].name in sample["expect"]["classes"]


@pytest.mark.parametrize("sample", expecting("objects"))
def test_objects_are_found(channel, sample):
    """Each thing that a person would name is found, in a box that lies on the photo."""
    request = vision_pb2.DetectObjectsRequest(image=media_pb2.Image(content=content(sample)))
    response = vision_pb2_grpc.VisionServiceStub(channel).DetectObjects(request, timeout=SECONDS)
    names = {found.name for found in response.objects}
    for wanted in sample["expect"]["objects"]:
        assert names & ({wanted} if isinstance(wanted, str) else set(wanted)), wanted
    for found in response.objects:
        box = found.bounding_box
        assert 0 <= box.x_min < box.x_max <= 1
        assert 0 <= box.y_min < box.y_max <= 1


GOOD = [
    "The acting is superb and the story stays with you for days.",
    "What a wonderful, warm and funny film.",
    "I loved every minute of it.",
]
BAD = [
    "A dull, lifeless mess that wastes its cast.",
    "This is the worst movie I have ever seen.",
    "I was bored from beginning to end.",
]


def test_sentences_are_judged(channel):
    """Plain praise is positive and plain blame is negative."""
    request = nlp_pb2.AnalyzeSentimentRequest(contents=GOOD + BAD)
    response = nlp_pb2_grpc.NlpServiceStub(channel).AnalyzeSentiment(request, timeout=SECONDS)
    found = [result.sentiment for result in response.results]
    assert found == [nlp_pb2.SENTIMENT_POSITIVE] * len(GOOD) + [nlp_pb2.SENTIMENT_NEGATIVE] * len(BAD)


def test_the_measured_accuracy_is_told(channel):
    """The sentiment models tell their accuracy on sentences they never saw, English and Chinese."""
    config = nlp_pb2_grpc.NlpServiceStub(channel).GetNlpConfig(nlp_pb2.GetNlpConfigRequest(), timeout=SECONDS)
    judges = [model for model in config.models if model.task == "sentiment-analysis"]
    metrics = {name: value for judge in judges for name, value in judge.metrics.items()}
    assert 0.825 <= metrics["held_out_accuracy_en"] <= 1
    assert 0.80 <= metrics["held_out_accuracy_zh"] <= 1


def test_as_many_texts_as_the_contract_allows(channel):
    """64 texts of mixed length, 8192 bytes the longest, are each judged in their place."""
    contents = [(GOOD[index % 3] if index % 2 else BAD[index % 3]) for index in range(63)] + ["superb " * 1170]
    stub = nlp_pb2_grpc.NlpServiceStub(channel)
    response = stub.AnalyzeSentiment(nlp_pb2.AnalyzeSentimentRequest(contents=contents), timeout=SECONDS)
    found = [result.sentiment for result in response.results]
    assert found[:63] == [nlp_pb2.SENTIMENT_POSITIVE if i % 2 else nlp_pb2.SENTIMENT_NEGATIVE for i in range(63)]
    assert response.results[63].truncated


def test_like_meanings_are_near(channel):
    """The three of four sentences that mean the same, one of them Chinese, are nearer to each other than the last."""
    contents = ["A man is eating a meal.", "Someone is having dinner.", "有人在吃晚饭。", "The stock market fell."]
    stub = nlp_pb2_grpc.NlpServiceStub(channel)
    response = stub.EmbedText(nlp_pb2.EmbedTextRequest(contents=contents), timeout=SECONDS)
    vectors = np.array([result.values for result in response.results])
    likeness = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(likeness), 1, atol=1e-3)
    assert min(likeness[0, 1], likeness[0, 2], likeness[1, 2]) > max(likeness[3, :3]) + 0.03


def test_a_text_means_the_same_in_any_company(channel):
    """A text's vector does not depend on the texts it is sent with."""
    stub = nlp_pb2_grpc.NlpServiceStub(channel)

    def embed(*contents: str) -> np.ndarray:
        response = stub.EmbedText(nlp_pb2.EmbedTextRequest(contents=contents), timeout=SECONDS)
        return np.array([result.values for result in response.results])

    alone, together = embed(GOOD[0]), embed("Hi.", GOOD[0], " ".join(BAD * 5))
    assert float(alone[0] @ together[1]) > 0.999
