"""What `maas demo` reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas.nlp.v1 import nlp_pb2, translation_pb2
from services.cli import reading
from tests.unit.cli.demo_answers import answer_everything, pairs, port_of
from tests.unit.cli.fakes import FakeMesh, Maas


def translated(mesh: FakeMesh) -> list[tuple[str, str, str]]:
    """What was translated from which language into which."""
    requests = [request for request in mesh.requests if isinstance(request, translation_pb2.TranslateTextRequest)]
    return [(each.contents[0], each.source_language_code, each.target_language_code) for each in requests]


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (
            [("en", "pt"), ("en", "zh"), ("zh", "en")],
            [(reading.SENTENCE, "en", "zh"), (f"<{reading.SENTENCE}>", "zh", "en")],
        ),
        ([("en", "pt"), ("pt", "en")], [(reading.SENTENCE, "en", "pt"), (f"<{reading.SENTENCE}>", "pt", "en")]),
        ([("en", "pt"), ("zh", "en")], [(reading.SENTENCE, "en", "pt")]),
        ([("de", "en")], []),
    ],
    ids=["chinese", "what-there-is", "one-way", "none"],
)
def test_the_demo_translates_what_is_offered(
    mesh: FakeMesh, maas: Maas, build: Path, offered: list[tuple[str, str]], expected: list[tuple[str, str, str]]
):
    """A sentence goes into Chinese, or else into what is offered, and back if that is offered too."""
    answer_everything(mesh)
    mesh.replies["ListSupportedLanguagePairs"] = pairs(*offered)
    assert maas("demo", "--port", port_of(mesh)).exit_code == 0
    assert translated(mesh) == expected


def test_the_demo_without_a_language_model(mesh: FakeMesh, maas: Maas, build: Path):
    """Where no language model is, the demo says so and goes on with what needs none."""
    answer_everything(mesh)
    mesh.replies["GetNlpConfig"] = nlp_pb2.GetNlpConfigResponse()
    result = maas("demo", "--port", port_of(mesh))
    assert result.exit_code == 0
    assert "no language model is here" in result.stdout
    assert "SummarizeText" not in result.stdout
    assert "RunGraph hear-and-judge" in result.stdout
