"""`maas models`."""

from __future__ import annotations

import json

import pytest
from google.protobuf.json_format import ParseDict

from maas.router.v1 import router_pb2 as pb
from tests.unit.cli.fakes import FakeMesh, Maas

MODELS = [
    {
        "name": "writer",
        "task": "text-generation",
        "summary": "Writes.",
        "default": True,
        "languageCodes": ["en", "zh", "de", "fr"],
        "languageNotes": {"de": "Makes mistakes in German.", "ja": "Do not use it for Japanese."},
        "note": "The larger one needs more memory.",
    },
    {"name": "judge", "task": "sentiment-analysis", "summary": "Judges."},
]


@pytest.fixture(autouse=True)
def _answers(mesh: FakeMesh) -> None:
    listed = {"services": [{"name": "maas.nlp.v1.NlpService", "models": MODELS}], "graphs": [{"name": "look-twice"}]}
    mesh.replies["ListCapabilities"] = ParseDict(listed, pb.ListCapabilitiesResponse())


def test_weak_languages_are_named(maas: Maas):
    """The list names the languages in which a model is weak, where to read how, and why it is this model."""
    shown = maas("models").stdout
    assert "weak in de, ja: see maas models writer" in shown
    assert "The larger one needs more memory." in shown
    assert "Makes mistakes in German." not in shown


@pytest.mark.parametrize("arguments", [["--long"], ["writer"]])
def test_all_about_a_model(maas: Maas, arguments: list[str]):
    """--long, and a name, show every language, the weaknesses and the note."""
    shown = maas("models", *arguments).stdout
    for told in (
        "en, zh, de, fr",
        "de: Makes mistakes in German.",
        "ja: Do not use it for Japanese.",
        "The larger one",
    ):
        assert told in shown


def test_a_name_shows_nothing_else(maas: Maas):
    """With a name there is that model alone; with --json it is the model's message."""
    shown = maas("models", "writer").stdout
    assert "judge" not in shown
    assert "look-twice" not in shown
    assert json.loads(maas("models", "judge", "--json").stdout)["summary"] == "Judges."


def test_an_unknown_name_lists_those_that_exist(maas: Maas):
    """A name that no model has ends with 1 and the names that there are."""
    result = maas("models", "poet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no model is called 'poet'; there are: judge, writer" in result.stderr
