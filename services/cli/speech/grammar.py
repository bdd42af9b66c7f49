"""Grammars of commands, as they are typed or stand in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
import yaml
from google.protobuf.json_format import ParseDict, ParseError

from maas.speech.v1 import command_pb2 as pb

_NUMBERS = re.compile(r"(\d+)\.\.(\d+)")


def grammar(file: Path | None, commands: list[str], slots: list[str]) -> pb.CommandGrammar:
    """The commands of a file, and those that were typed. None at all, and what cannot be read, is wrong usage."""
    found = _from_file(file) if file else pb.CommandGrammar()
    for typed in commands:
        intent, colon, phrase = typed.partition(":")
        if not colon or not intent.strip() or not phrase.strip():
            raise typer.BadParameter(f"--command takes 'intent: phrase', got {typed!r}")
        _add(found, intent.strip(), [phrase.strip()])
    for typed in slots:
        name, equals, values = typed.partition("=")
        if not equals or not name or not values:
            raise typer.BadParameter(f"--slot takes NAME=VALUE,VALUE or NAME=FROM..TO, got {typed!r}")
        _slot(found.slots.add(name=name), values)
    if not found.commands:
        raise typer.BadParameter("say which commands there are: --grammar FILE, or --command 'intent: phrase'")
    return found


def _from_file(path: Path) -> pb.CommandGrammar:
    """YAML: `commands`, an intent and its phrases each, and `slots`, a name each and what fills it.

    Slots are written as on the command line, or as lists of values. The protobuf JSON of CommandGrammar is taken too.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {getattr(error, 'strerror', 'it is no UTF-8')}") from None
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{path} is no YAML: {str(error).splitlines()[0]}") from None
    try:
        if isinstance(read, dict) and isinstance(read.get("commands"), list):
            return ParseDict(read, pb.CommandGrammar())
        return _plain(read)
    except (ParseError, TypeError, AttributeError, KeyError) as error:
        raise typer.BadParameter(f"{path} is no grammar: {error}") from None


def _plain(read: Any) -> pb.CommandGrammar:
    found = pb.CommandGrammar()
    for intent, phrases in read["commands"].items():
        _add(found, intent, [phrases] if isinstance(phrases, str) else phrases)
    for name, values in (read.get("slots") or {}).items():
        _slot(found.slots.add(name=name), values if isinstance(values, str) else ",".join(map(str, values)))
    return found


def _add(found: pb.CommandGrammar, intent: str, phrases: list[str]) -> None:
    """Another command, or other phrases of one that is there."""
    same = [each for each in found.commands if each.intent == intent]
    (same[0] if same else found.commands.add(intent=intent)).phrases.extend(phrases)


def _slot(slot: pb.CommandSlot, values: str) -> None:
    """FROM..TO, or values; behind a value, each after a |, other ways to say it."""
    if numbers := _NUMBERS.fullmatch(values.strip()):
        slot.numbers.min, slot.numbers.max = int(numbers[1]), int(numbers[2])
        # A range from 0 to 0 is one too.
        slot.numbers.SetInParent()
        return
    for each in values.split(","):
        ways = [way.strip() for way in each.split("|")]
        slot.values.values.add(value=ways[0], spoken=ways if len(ways) > 1 else [])
