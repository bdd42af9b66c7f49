"""What the code around spaCy makes of its entities."""

from __future__ import annotations

import json
import sys

import pytest


@pytest.fixture
def recogniser(pb_utils, monkeypatch, tmp_path):
    """The model, on a pipeline of rules."""
    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch"))  # put back what the model takes away
    import spacy  # noqa: PLC0415 - takes seconds to import

    from deploy.triton.models.spacy import model  # noqa: PLC0415 - needs the stand-in

    rules = spacy.blank("en")
    rules.add_pipe("entity_ruler").add_patterns(
        [
            {"label": "ORG", "pattern": "the Red Cross"},
            {"label": "GPE", "pattern": "Zürich"},
            {"label": "NORP", "pattern": "Swiss"},
            {"label": "DATE", "pattern": "the next day"},
            {"label": "PERCENT", "pattern": "10%"},
        ]
    )
    rules.to_disk(tmp_path / "weights")
    loaded = model.TritonPythonModel()
    loaded.load(tmp_path, {})
    return loaded


def test_types_and_offsets(recogniser):
    """Labels become our types; names lose their article, dates keep it; offsets are code points."""
    text = "😀 In Zürich the Red Cross met the Swiss the next day, 10% of them."
    entities = json.loads(recogniser.answer([text])[0])
    assert [(text[each["begin"] : each["end"]], each["type"], each["score"]) for each in entities] == [
        ("Zürich", "LOCATION", None),
        ("Red Cross", "ORGANIZATION", None),
        ("Swiss", "OTHER", None),
        ("the next day", "DATE", None),
        ("10%", "QUANTITY", None),
    ]


def test_order_of_a_batch(recogniser):
    """Each text has its own answer, also an empty one."""
    answers = [json.loads(answer) for answer in recogniser.answer(["", "Zürich", "no names"])]
    assert [len(answer) for answer in answers] == [0, 1, 0]
