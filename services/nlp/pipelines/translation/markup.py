"""Texts to translate, taken apart: what is kept byte for byte, and what is translated.

What is kept inside a sentence (a tag, a placeholder, a name) is one private-use character in it while the text is
worked on, so that sentences are found, cut and put together as strings, and it can neither be split nor half changed.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

# The first of the private-use characters that stand for what is kept; there are more than a text has characters.
_FIRST = 0xF0000
_LAST = 0xFFFFD
HELD = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")

# Elements that stand within a sentence.
_INLINE = frozenset(
    re.findall(
        r"\w+",
        "a abbr b bdi bdo big cite del dfn em font g i img ins label mark ph q s small span strike strong sub sup time "
        "u wbr x",
    )
)
# Elements whose content is no prose: those within a sentence, and those between; and those that hold no elements.
_CODE = frozenset(("code", "kbd", "samp", "var"))
_VERBATIM = _CODE | frozenset(("math", "pre", "script", "style", "svg", "textarea"))
_RAW = frozenset(("script", "style", "textarea"))
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
_TAG = re.compile(r"""<(/?)([A-Za-z][\w:.-]*+)([^"'>]*+(?:"[^"]*+"[^"'>]*+|'[^']*+'[^"'>]*+)*+)>""")
_UNTRANSLATED = re.compile(r"""\stranslate\s*=\s*["']?no\b""", re.IGNORECASE)
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]\w{1,30});")
_NO_BREAK_SPACE = "\u00a0"


class Kind(Enum):
    """Why something is kept."""

    PLACEHOLDER = auto()
    TAG = auto()
    # One character that is written as a reference, such as &copy;.
    SYMBOL = auto()
    # A term of the caller's that stays as it is.
    TERM = auto()
    # A glossary term, which is its translation already.
    GLOSSARY = auto()


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that stays as it is. raw: as the result has it. shown: as a model may see it."""

    kind: Kind
    raw: str
    shown: str
    # Of a tag: its element, and whether it opens (1), closes (-1) or does neither (0).
    element: str = ""
    step: int = 0


@dataclass(slots=True)
class Text:
    """A text taken apart: pieces that stay (str) or are translated (Prose), in order, and what is kept in prose."""

    pieces: list[str | Prose] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    escape: Callable[[str], str] = str

    def hold(self, kept: Kept) -> str:
        """The character that stands for it from now on."""
        self.kept.append(kept)
        return chr(_FIRST + len(self.kept) - 1)

    def __getitem__(self, character: str) -> Kept:
        """What a character stands for."""
        return self.kept[ord(character) - _FIRST]

    def proses(self) -> list[Prose]:
        """What is to be translated, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Prose)]

    def rejoined(self) -> str:
        """The whole, untranslated."""
        return "".join(self.written(piece.text) if isinstance(piece, Prose) else piece for piece in self.pieces)

    def written(self, prose: str) -> str:
        """Prose as the result has it."""
        parts = re.split(f"({HELD.pattern})", prose)
        return "".join(self[part].raw if index % 2 else self.escape(part) for index, part in enumerate(parts))


@dataclass(frozen=True, slots=True)
class Prose:
    """A stretch to translate: a line, or what an HTML block holds. soft: whether its white space may change."""

    text: str
    soft: bool = False


def plain(source: str) -> Text:
    """A plain text: each line is prose, and so is each column between tabs."""
    text = Text()
    for index, part in enumerate(re.split(r"([\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+)", _safe(source, text))):
        text.pieces.append(part if index % 2 else Prose(part))
    return text


def marked_up(source: str) -> Text:
    """HTML or XML: tags, comments and what is no prose are kept; each block's content is prose, tags in it included."""
    text = Text(escape=_escape)
    tags = _Tags()
    prose: list[str] = []
    for event in _events(source):
        if event.kind == "text":
            prose.append(_REFERENCE.sub(lambda match: _reference(match[0], text), _safe(event.raw, text)))
        elif event.kind == "tag":
            prose.append(text.hold(Kept(Kind.TAG, event.raw, tags.name(event), event.element, event.step)))
        elif event.kind == "kept":
            prose.append(text.hold(Kept(Kind.PLACEHOLDER, event.raw, tags.name(_Event("kept", "", "code")))))
        else:
            text.pieces += [Prose("".join(prose), soft=True), event.raw]
            prose = []
    text.pieces.append(Prose("".join(prose), soft=True))
    return text


def _safe(source: str, text: Text) -> str:
    """The same, private-use characters of its own held."""
    return HELD.sub(lambda match: text.hold(Kept(Kind.SYMBOL, match[0], match[0])), source)


def _reference(raw: str, text: Text) -> str:
    """A character reference: symbols are held, all else is part of the prose; &, < and > are escaped again."""
    character = html.unescape(raw)
    if character == raw or HELD.search(character):
        return text.hold(Kept(Kind.SYMBOL, raw, raw))
    if len(character) == 1 and character not in "<>" and unicodedata.category(character)[0] in "SC":
        return text.hold(Kept(Kind.SYMBOL, raw, character))
    return character


def _escape(prose: str) -> str:
    return html.escape(prose, quote=False).replace(_NO_BREAK_SPACE, "&nbsp;")


class _Tags:
    """Short names of tags for models: <a>, </a>, and from the second of a kind on <a2>, </a2>."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._open: dict[str, list[str]] = {}

    def name(self, event: _Event) -> str:
        """What a model sees of a tag."""
        opened = self._open.setdefault(event.element, [])
        if event.step < 0 and opened:
            return f"</{opened.pop()}>"
        count = self._counts[event.element] = self._counts.get(event.element, 0) + 1
        name = event.element if count == 1 else f"{event.element}{count}"
        if event.step > 0:
            opened.append(name)
        return {1: f"<{name}>", 0: f"<{name}/>", -1: f"</{name}>"}[event.step]


@dataclass(slots=True)
class _Event:
    """A part of a document. kind: text, tag (within a sentence), kept (the same, with what it encloses) or block."""

    kind: str
    raw: str
    element: str = ""
    step: int = 0


def _events(source: str) -> Iterator[_Event]:
    """The parts of a document, which together are the document; what is kept is one part."""
    open_elements: list[str] = []
    parts: list[_Event] = []
    for event in _parts(source):
        if parts or _keeps(event):
            parts.append(event)
            if event.step > 0 and event.element not in _VOID:
                open_elements.append(event.element)
            elif event.step < 0 and event.element in open_elements:
                while open_elements.pop() != event.element:
                    pass
            if open_elements:
                continue
            event, parts = _whole(parts), []  # noqa: PLW2901 - what was one part is many
        yield event
    if parts:
        yield _whole(parts)


def _keeps(event: _Event) -> bool:
    return (
        event.step > 0
        and event.element not in _VOID
        and (event.element in _VERBATIM or _UNTRANSLATED.search(event.raw) is not None)
    )


def _whole(parts: list[_Event]) -> _Event:
    return _Event("kept" if parts[0].kind == "tag" else "block", "".join(part.raw for part in parts))


def _parts(source: str) -> Iterator[_Event]:
    """Text, tags, comments and the rest, each once.

    Not the standard library's parser: it takes 19 seconds for 16 kB of unclosed tags, and holds up every other call.
    """
    done = at = 0
    while (begin := source.find("<", at)) >= 0:
        event = _construct(source, begin)
        if event is None:
            at = begin + 1
            continue
        if done < begin:
            yield _Event("text", source[done:begin])
        yield event
        done = at = begin + len(event.raw)
        if event.step > 0 and event.element in _RAW:
            closing = re.compile(f"</{event.element}", re.IGNORECASE).search(source, at)
            at = closing.start() if closing else len(source)
    if done < len(source):
        yield _Event("text", source[done:])


def _construct(source: str, begin: int) -> _Event | None:
    """What begins with this <, None for a mere character."""
    for opening, closing, kind in (
        ("<!--", "-->", "tag"),
        ("<![CDATA[", "]]>", "block"),
        ("<!", ">", "block"),
        ("<?", ">", "block"),
    ):
        if source.startswith(opening, begin):
            end = source.find(closing, begin + len(opening))
            return _Event(kind, source[begin : end + len(closing)], "x") if end >= 0 else None
    tag = _TAG.match(source, begin) if source.find(">", begin) >= 0 else None
    if tag is None:
        return None
    element = tag[2].lower()
    step = -1 if tag[1] else 0 if element in _VOID or tag[3].endswith("/") else 1
    return _Event("tag" if element in _INLINE or element in _CODE else "block", tag[0], element, step)
