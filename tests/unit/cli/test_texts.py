"""Where the texts of a command come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas.nlp.v1 import nlp_pb2 as pb
from tests.unit.cli.fakes import FakeMesh, Maas


@pytest.fixture(autouse=True)
def _answers(mesh: FakeMesh) -> None:
    mesh.replies["AnalyzeSentiment"] = pb.AnalyzeSentimentResponse()


def sent(mesh: FakeMesh) -> list[str]:
    """The texts of the last call."""
    return list(mesh.requests[-1].contents)


def test_dash_reads_texts_from_standard_input(mesh: FakeMesh, maas: Maas):
    """A dash stands for the lines of standard input that are not blank."""
    assert maas("nlp", "sentiment", "first", "-", "last", stdin="second\n\n third \n").exit_code == 0
    assert sent(mesh) == ["first", "second", "third", "last"]


def test_a_file_is_one_text(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--file sends each file as one text as it is, line ends included, after the texts that were typed."""
    (tmp_path / "a.txt").write_bytes("Erste Zeile.\r\n\r\n你好\n".encode())
    (tmp_path / "b.txt").write_text("B")
    files = ("--file", str(tmp_path / "a.txt"), "-f", str(tmp_path / "b.txt"))
    assert maas("nlp", "sentiment", *files, "typed").exit_code == 0
    assert sent(mesh) == ["typed", "Erste Zeile.\r\n\r\n你好\n", "B"]


def test_all_of_standard_input_is_one_text(mesh: FakeMesh, maas: Maas):
    """--file - sends standard input as one text."""
    assert maas("nlp", "sentiment", "--file", "-", stdin="one\n\ntwo\n").exit_code == 0
    assert sent(mesh) == ["one\n\ntwo\n"]


def test_a_byte_order_mark_is_no_text(mesh: FakeMesh, maas: Maas):
    """The mark with which some editors begin a file is not sent."""
    maas("nlp", "sentiment", "--file", "-", stdin=b"\xef\xbb\xbfHello")
    assert sent(mesh) == ["Hello"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (["-"], b"caf\xe9", "standard input is no UTF-8 text"),
        (["--file", "-"], b"\xff\xfe", "standard input is no UTF-8 text"),
        (["caf\udce9"], b"", "a text has bytes that are no UTF-8"),
        (["-", "--file", "-"], b"x", "standard input can be read only once"),
        (["--file", "no-such.txt"], b"", "no-such.txt cannot be read: No such file or directory"),
        ([], b"", "give a TEXT, --file PATH, or - to read lines from standard input"),
    ],
    ids=["lines", "file", "typed", "twice", "missing", "nothing"],
)
def test_what_is_no_text_is_told(mesh: FakeMesh, maas: Maas, arguments: list[str], stdin: bytes, told: str):
    """What cannot be sent as a text is wrong usage, in a sentence, before anything is called."""
    result = maas("nlp", "sentiment", *arguments, stdin=stdin)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", "").split())
    assert mesh.requests == []
