"""Conversations, passages and canned replies as files have them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from maas.nlp.v1 import conversation_pb2 as pb
from maas.nlp.v1.text_pb2 import Passage
from services.cli.texts import read_file

# What the contract allows a passage, and lines that always fit into it.
_PASSAGE_BYTES, _LINE_CHARACTERS = 8192, 2000
_ID_CHARACTERS = 64
_ROLES = {"system": pb.ROLE_SYSTEM, "user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT}

PassageFiles = Annotated[
    list[str] | None,
    typer.Option("--passage", metavar="FILE", help="A text that answers keep to; long ones are split. Repeat."),
]
PassageTexts = Annotated[
    list[str] | None, typer.Option("--passage-text", metavar="TEXT", help="The same, as it is typed. Repeat.")
]


def passages(files: Sequence[str] | None, texts: Sequence[str] | None) -> list[Passage]:
    """The passages of a request: files go by their names, with a number when one is split, typed texts by numbers."""
    found: list[Passage] = []
    names = Counter(Path(path).name for path in files or [])
    for path in files or []:
        name = Path(path).name
        known = names[name] == 1 and path != "-"
        parts = split(read_file(path))
        for number, part in enumerate(parts, 1):
            called = name if len(parts) == 1 else f"{name} {number}"
            found.append(Passage(id=called if known and len(called) <= _ID_CHARACTERS else "", content=part))
    return found + [Passage(content=text) for text in texts or []]


def split(text: str) -> list[str]:
    """The text as parts that each fit into a passage, cut between lines; a line that is too long between words."""
    parts = [""]
    size = f"{{1,{_LINE_CHARACTERS}}}"
    for line in re.findall(rf".{size}\n|.{size}\s|.{size}|\n", text):
        if len((parts[-1] + line).encode()) > _PASSAGE_BYTES:
            parts.append("")
        parts[-1] += line
    return [part for part in parts if part.strip()]


def messages(path: str) -> list[pb.ChatMessage]:
    """A conversation from YAML or JSON: a list of messages with role and content, or such a list under "messages"."""
    found = _load(path)
    listed: Any = found.get("messages") if isinstance(found, dict) else found
    try:
        return [pb.ChatMessage(role=_ROLES[each["role"]], content=_text(each["content"])) for each in listed]
    except (TypeError, KeyError):
        raise typer.BadParameter(
            f"{path} takes a list of messages, each with a role ({', '.join(_ROLES)}) and a content"
        ) from None


def canned_replies(path: str) -> list[pb.CannedReply]:
    """Prepared replies: CSV with the columns question and reply, or YAML or JSON with a list of such or pairs."""
    if path.lower().endswith(".csv"):
        found: Any = list(csv.DictReader(read_file(path).splitlines(keepends=True)))
    else:
        found = _load(path)
    if isinstance(found, dict):
        found = [{"question": question, "reply": reply} for question, reply in found.items()]
    try:
        return [pb.CannedReply(question=_text(each["question"]), reply=_text(each["reply"])) for each in found]
    except (TypeError, KeyError):
        raise typer.BadParameter(
            f"{path} takes questions, each with a reply: columns or keys question, reply"
        ) from None


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError(found)
    return found


def _load(path: str) -> Any:
    try:
        # JSON is YAML too.
        return yaml.safe_load(read_file(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise typer.BadParameter(f"{path} is neither YAML nor JSON{where}") from None
