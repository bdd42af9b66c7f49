"""What the code around microWakeWord does to its probabilities."""

import json

import numpy as np
import pytest

from tests.unit.deploy.models.conftest import StubRequest


@pytest.fixture
def listener(pb_utils, monkeypatch):
    """The model, on a network whose probability of the word is the loudness of each step."""
    pytest.importorskip("pymicro_wakeword")
    from deploy.triton.models.wakeword import model  # noqa: PLC0415 - needs the stand-in

    class Network:
        probability_cutoff = 0.5

        def reset(self):
            self.asked = 0

        def process_streaming_prob(self, feature):
            self.asked += 1
            return float(feature)

    monkeypatch.setattr(
        model,
        "_features",
        lambda samples: (np.frombuffer(samples, np.int16).reshape(-1, 160).max(axis=1) / 32767).tolist(),
    )
    made = model.TritonPythonModel()
    made._max_seconds, made._networks = 10, {"alexa": Network()}
    return made


def ask(listener, audio, word="alexa"):
    request = StubRequest(["result"], audio=np.asarray(audio, np.float32), word=np.array([word.encode()], np.object_))
    (response,) = listener.execute([request])
    return response


def steps(*loudness):
    """Steps of 10 ms."""
    return np.repeat(np.float32(loudness), 160)


def test_each_word_once(listener):
    """However long it stays probable; said again, it is found again."""
    audio = steps(*[0] * 20, *[0.9] * 150, *[0.1] * 10, *[0.8] * 5)
    found = json.loads(ask(listener, audio).outputs["result"][0])["detections"]
    assert [each["end"] for each in found] == [0.21, 1.81]
    assert found[0]["probability"] == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize(
    ("audio", "word", "says"),
    [
        (np.zeros(160), "sesame", "there are: alexa"),
        (np.zeros(161_000), "alexa", "at most 10"),
        ([np.inf], "alexa", "not numbers"),
    ],
)
def test_requests_that_are_refused(listener, audio, word, says):
    """A word that does not exist, too much sound, and what is none."""
    response = ask(listener, audio, word)
    assert says in response.error.message
    assert response.error.code == response.error.INVALID_ARG
