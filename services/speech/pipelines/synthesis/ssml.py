"""Reads SSML: the subset of version 1.1 that the contract names, and nothing that XML can do to its reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import get_args

# Entities are what makes expat dangerous: a document type, without which there are none of one's own, is refused.
from xml.parsers import expat

from services.mesh import errors
from services.speech.pipelines.synthesis.phonemes import to_model_phonemes
from services.speech.pipelines.synthesis.script import Boundary, Pause, Phonemes, SayAs, SayAsKind, Script, Span, Words

MAX_BYTES = 10_000
MAX_DEPTH = 16
MAX_BREAK_SECONDS = 10.0
# Of all breaks together: 10,000 bytes hold 500 of them.
MAX_SILENCE_SECONDS = 120.0
SLOWEST, FASTEST = 0.5, 2.0

_KINDS: Mapping[str, SayAsKind] = {kind: kind for kind in get_args(SayAsKind)}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.3, "x-fast": 1.7}
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.2}
# Names of elements and the attributes that each may have.
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "speak": frozenset({"version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation"}),
    "p": frozenset(),
    "s": frozenset(),
    "break": frozenset({"time", "strength"}),
    "prosody": frozenset({"rate"}),
    "say-as": frozenset({"interpret-as", "format"}),
    "sub": frozenset({"alias"}),
    "phoneme": frozenset({"alphabet", "ph"}),
}
# Around which there is only text.
_LEAVES = frozenset({"say-as", "sub", "phoneme", "break"})
_TIME = re.compile(r"(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})(ms|s)")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%")
_ORDER = re.compile(r"[dmy]|dm|md|my|ym|dmy|mdy|ymd")


def parse(document: str) -> Script:
    """What an SSML document says. Raises InvalidArgument naming `ssml` and the element or attribute that is wrong."""
    size = len(document.encode())
    if not 1 <= size <= MAX_BYTES:
        raise _wrong(f"takes 1 to {MAX_BYTES} UTF-8 bytes, got {size}")
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(document.encode(), True)  # noqa: FBT003 - expat takes no keyword
    except expat.ExpatError as error:
        raise _wrong(
            f"is no well-formed XML: {expat.ErrorString(error.code)}, line {error.lineno}, column {error.offset + 1}"
        ) from None
    if sum(span.seconds for span in reader.spans if isinstance(span, Pause)) > MAX_SILENCE_SECONDS:
        raise _wrong(f"break: all breaks together may take {MAX_SILENCE_SECONDS:g} seconds")
    return Script("ssml", tuple(reader.spans), reader.language)


def _wrong(description: str) -> errors.InvalidArgument:
    return errors.InvalidArgument.field("ssml", description)


def _refuse_doctype(*_: object) -> None:
    raise _wrong("takes no document type and no entities of its own")


@dataclass
class _Reader:
    """Receives what expat finds, in its order."""

    spans: list[Span] = field(default_factory=list)
    language: str = ""
    # Names, attributes and rates of the elements that are open, outermost first.
    _open: list[tuple[str, Mapping[str, str], float]] = field(default_factory=list)
    # What stands in the leaf that is open.
    _leaf: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._check(name, attributes)
        rate = self._open[-1][2] if self._open else 1.0
        if name == "prosody":
            # Rates within rates have limits too, or the pauses between sentences would last for hours.
            rate = min(max(rate * _rate(attributes), SLOWEST), FASTEST)
        elif name in {"p", "s"}:
            self.spans.append(Boundary(name == "p"))
        elif name == "break":
            self.spans.append(Pause(_seconds(attributes)))
        elif name == "speak":
            self.language = attributes.get("xml:lang", "")
        self._open.append((name, attributes, rate))

    def _check(self, name: str, attributes: Mapping[str, str]) -> None:
        if name not in _ATTRIBUTES:
            raise _wrong(f"does not take the element {name[:50]!r}; it takes: {', '.join(_ATTRIBUTES)}")
        for attribute in attributes:
            if attribute not in _ATTRIBUTES[name]:
                raise _wrong(f"{name}: does not take the attribute {attribute[:50]!r}")
        if len(self._open) >= MAX_DEPTH:
            raise _wrong(f"{name}: elements may be nested {MAX_DEPTH} deep")
        if (name == "speak") == bool(self._open):
            raise _wrong("must have the element 'speak' around all, once")
        if self._open and (outer := self._open[-1][0]) in _LEAVES:
            raise _wrong(f"{outer}: takes no element inside it, got {name!r}")

    def end(self, name: str) -> None:
        """An element ends."""
        _, attributes, rate = self._open.pop()
        if name in {"p", "s"}:
            self.spans.append(Boundary(name == "p"))
        if (make := _MAKERS.get(name)) is not None:
            self.spans.append(make(" ".join("".join(self._leaf).split()), attributes, rate))
        self._leaf.clear()

    def characters(self, text: str) -> None:
        """Text stands between elements."""
        name, _, rate = self._open[-1]
        if name == "break" and text.strip():
            raise _wrong("break: takes no text inside it")
        if name in _LEAVES:
            self._leaf.append(text)
        else:
            # A line break of a document is white space and no end of a sentence.
            self.spans.append(Words(re.sub(r"\s+", " ", text), rate))


def _rate(attributes: Mapping[str, str]) -> float:
    value = attributes.get("rate", "")
    if value in _RATES:
        return _RATES[value]
    found = _PERCENT.fullmatch(value)
    if not found or not SLOWEST <= float(found[1]) / 100 <= FASTEST:
        raise _wrong(f"prosody: rate takes {', '.join(_RATES)}, or {SLOWEST:.0%} to {FASTEST:.0%}")
    return float(found[1]) / 100


def _seconds(attributes: Mapping[str, str]) -> float:
    if "time" not in attributes:
        strength = attributes.get("strength", "medium")
        if strength not in _STRENGTHS:
            raise _wrong(f"break: strength takes {', '.join(_STRENGTHS)}")
        return _STRENGTHS[strength]
    found = _TIME.fullmatch(attributes["time"].strip())
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else -1
    if not 0 <= seconds <= MAX_BREAK_SECONDS:
        raise _wrong(f"break: time takes a time such as 500ms or 1.5s, up to {MAX_BREAK_SECONDS:g}s")
    return seconds


def _say_as(text: str, attributes: Mapping[str, str], rate: float) -> Span:
    kind = _KINDS.get(attributes.get("interpret-as", ""))
    if kind is None:
        raise _wrong(f"say-as: interpret-as takes {', '.join(_KINDS)}")
    order = attributes.get("format", "")
    if order and (kind != "date" or not _ORDER.fullmatch(order)):
        raise _wrong("say-as: format is for dates, and takes an order of d, m and y such as dmy")
    return SayAs(text, kind, rate, order)


def _sub(text: str, attributes: Mapping[str, str], rate: float) -> Span:  # noqa: ARG001 - as the other makers
    if not attributes.get("alias", "").strip():
        raise _wrong("sub: alias is required")
    return Words(attributes["alias"], rate)


def _phoneme(text: str, attributes: Mapping[str, str], rate: float) -> Span:
    if attributes.get("alphabet", "ipa") != "ipa":
        raise _wrong("phoneme: alphabet takes ipa")
    return Phonemes(text, to_model_phonemes(attributes.get("ph", "")), rate)


_MAKERS: Mapping[str, Callable[[str, Mapping[str, str], float], Span]] = {
    "say-as": _say_as,
    "sub": _sub,
    "phoneme": _phoneme,
}
