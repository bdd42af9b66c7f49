"""What the code around fastText does to a text, and to its answer."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def lid(pb_utils, monkeypatch, tmp_path):
    """The model, on a stand-in that knows two languages and keeps what it was asked."""
    from deploy.triton.models.lid import model  # noqa: PLC0415 - needs the stand-in

    class FastText:
        def __init__(self, path):
            self.asked = []

        def predict(self, text, k):
            assert "\n" not in text
            self.asked.append(text)
            if "grüezi" in text:
                return ("__label__als", "__label__de"), (1.0000006, 0.00002)
            return ("__label__en", "__label__de"), (0.2, 0.1)

    monkeypatch.setattr(model, "load_model", FastText)
    loaded = model.TritonPythonModel()
    loaded.load(tmp_path, {})
    return loaded


def test_codes_and_probabilities(lid):
    """Wikipedia's own code becomes the BCP-47 one, and no probability is above 1."""
    assert json.loads(lid.answer(["Grüezi"])[0]) == [["gsw", 1.0], ["de", 0.0]]


def test_lines_and_capitals(lid):
    """Line breaks, which end fastText's example, become blanks, and capitals small."""
    lid.answer(["GRÜEZI\r\n mitenand\u2028"])
    assert lid._model.asked[-1] == "grüezi mitenand"


@pytest.mark.parametrize("text", ["", "   ", "12:30, 5 + 7", "😀👍", "xyzzy"])
def test_what_cannot_be_told(lid, text):
    """Without letters, or when the model only answers what it answers to nothing, no language is given."""
    assert lid.answer([text]) == ["[]"]
