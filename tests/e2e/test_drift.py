"""Models are watched for drift while they answer."""

from __future__ import annotations

import grpc

from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from tests.e2e.metrics import samples

# Nothing else uses it but when it is named.
MODEL = "minilm-l6"
# Of the reference, and of each window: see conftest.
ITEMS = 20


def test_longer_texts_are_seen_as_drift(mesh, wait_for):
    """Texts like those before leave a model's score low; long ones raise that of their length, and it is a metric."""
    url = f"http://127.0.0.1:{mesh.ports.nlp_metrics}/metrics"

    def score(measure: str) -> float | None:
        found = samples(url, "maas_drift_score")
        return next((value for labels, value in found.items() if set(labels) >= {MODEL, measure}), None)

    with grpc.insecure_channel(mesh.address) as channel:
        embed = nlp_pb2_grpc.NlpServiceStub(channel).EmbedText

        def send(words: int, first: int) -> None:
            for number in range(first, first + ITEMS):
                text = " ".join(f"word{number}" for _ in range(words + number % 5))
                embed(nlp_pb2.EmbedTextRequest(model=MODEL, contents=[text]), timeout=30)

        send(5, 0)
        send(5, 100)
        wait_for(lambda: score("length") is not None, "a window is full", 10)
        before = score("length")
        send(60, 200)
        wait_for(lambda: (score("length") or 0) > max(1.0, before), "the drift is seen", 10)
        assert (score("embedding") or 0) > 0
    kept = [file.name for file in (mesh.run_directory / "drift" / "nlp").iterdir()]
    assert f"{MODEL}-1.json" in kept
