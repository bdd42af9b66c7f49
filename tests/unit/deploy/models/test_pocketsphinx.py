"""What the code around PocketSphinx does, with the weights of its package: it needs no others."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.deploy.models.conftest import StubRequest

RESULT = ["result"]


@pytest.fixture(scope="module")
def _loaded():
    return {}


@pytest.fixture
def sphinx(pb_utils, _loaded):
    """The model."""
    pocketsphinx = pytest.importorskip("pocketsphinx")
    from deploy.triton.models.pocketsphinx import model  # noqa: PLC0415 - needs the stand-in

    if not _loaded:
        made = _loaded["model"] = model.TritonPythonModel()
        made._max_seconds, made._max_arcs = 30, 10_000
        made.load(Path(pocketsphinx.get_model_path("en-us")))
    return _loaded["model"]


def network(*words):
    arcs = [[index, index + 1, word] for index, word in enumerate(words)]
    return json.dumps({"final": len(words), "arcs": arcs}).encode()


def ask(sphinx, audio, grammar):
    request = StubRequest(RESULT, audio=np.asarray(audio, np.float32), grammar=np.array([grammar], np.object_))
    (response,) = sphinx.execute([request])
    return response


def test_a_grammar_without_sound(sphinx):
    """Words are looked up; those that nobody wrote down are pronounced by rule."""
    response = ask(sphinx, [], network("hogwarts", "the", "o'clock"))
    assert json.loads(response.outputs["result"][0]) == {"words": [], "confidence": 0.0, "unpronounceable": []}
    assert sphinx._pronunciations("hogwarts") == ["HH AA G W AO R T S"]


@pytest.mark.parametrize("word", ["zelda", "xkcd", "pikachu"])
def test_names_are_pronounced(sphinx, word):
    """In phones that the acoustic model has."""
    known = {phone for ways in sphinx._dictionary.values() for way in ways for phone in way.split()}
    (phones,) = sphinx._pronunciations(word)
    assert set(phones.split()) <= known


def test_a_word_without_letters(sphinx):
    """What cannot be said is named."""
    response = ask(sphinx, [], network("stop", "'"))
    assert json.loads(response.outputs["result"][0])["unpronounceable"] == ["'"]


def test_noise_is_no_command(sphinx):
    """Whatever the search finds in it is not sure."""
    noise = np.random.default_rng(0).normal(size=32_000) * 0.1
    result = json.loads(ask(sphinx, noise, network("stop", "the", "music")).outputs["result"][0])
    assert not result["words"] or result["confidence"] < 0.75


@pytest.mark.parametrize(
    "grammar",
    [
        b"",
        b"[]",
        b"{}",
        b'{"final": 1, "arcs": []}',
        b'{"final": 1, "arcs": [[0, 1]]}',
        b'{"final": 1, "arcs": [[0, 99, "stop"]]}',
        b'{"final": 1, "arcs": [[0, 1, "<sil>"]]}',
        b'{"final": 1, "arcs": [[0, 1, "stop\\nstop K"]]}',
    ],
)
def test_what_is_no_network(sphinx, grammar):
    """It is refused before anything reads it."""
    response = ask(sphinx, [], grammar)
    assert response.error.code == response.error.INVALID_ARG


@pytest.mark.parametrize(("audio", "says"), [(np.zeros(16_000 * 31), "at most 30"), ([np.nan] * 9, "not numbers")])
def test_sound_that_is_refused(sphinx, audio, says):
    """Too much of it, or what is none."""
    response = ask(sphinx, audio, network("stop"))
    assert says in response.error.message


def test_decoders_are_bounded(sphinx, monkeypatch):
    """The least recently used grammar is let go of; by arcs too."""
    from deploy.triton.models.pocketsphinx import model  # noqa: PLC0415 - needs the stand-in

    sphinx._decoders.clear()
    monkeypatch.setattr(model, "DECODERS", 2)
    for word in ("stop", "go", "stop", "wait"):
        ask(sphinx, [], network(word))
    assert list(sphinx._decoders) == [network("stop"), network("wait")]
    monkeypatch.setattr(model, "DECODERS_ARCS", 3)
    ask(sphinx, [], network("one", "two", "three"))
    assert list(sphinx._decoders) == [network("one", "two", "three")]
