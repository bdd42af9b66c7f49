"""Finds the sentences of a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sentencex

from services.mesh.models import primary_subtag
from services.mesh.ports import Sentence

MAX_CHARACTERS = 2000
# What the library is given at once. Its time grows with the square of a paragraph of Chinese or of open quotes (0.75 s
# for 128 KiB), so that a text is read through a window, which must be longer than the longest sentence.
_WINDOW = 2 * MAX_CHARACTERS
# From this length a line may be one that a program wrapped.
_WRAPPED_CHARACTERS = 60

_BREAK = "[\n\r\v\f\x85\u2028\u2029]"
_LINE_BREAK = re.compile(rf"(?:\r\n|{_BREAK})(?P<blank_lines>\s*{_BREAK})?")
# What the library reads in place of the text, character by character: it takes white space for one byte and panics on
# more after an initial ("J.\u2028"), takes a line break for more than a blank, and does not know these quotes.
_OTHER_BLANKS = re.compile(r"[^\S ]")
_KNOWN_QUOTES = str.maketrans("\u300e\u300f", "\u201c\u201d")
# The number or letter of a list's item, a Roman one too; and French "M." and "MM.", which the library does not know.
_UNFINISHED = re.compile(r"(?:^\W*(?:\d{1,3}|[ivx]{1,4}|[A-Za-z])|\bMM?)\.\s*$")
# Where no punctuation stands before the last character, there is one sentence: most lines of a list or a chat, which
# need no call of the library (15 microseconds each).
_INNER_MARK = re.compile(r"[^\w\s]\s*\S")
_CLAUSE = re.compile(r".*(?:[,:;]\s|[，、：；])", re.DOTALL)
_BLANK = re.compile(r".*\s", re.DOTALL)


def segment(text: str, language_code: str) -> list[Sentence]:
    """The sentences in order; what lies between them is white space.

    language_code: BCP-47, "" for unknown. In time that grows with the length of the text, whatever it holds.
    """
    language = primary_subtag(language_code) or "en"
    found: list[Sentence] = []
    for line in _lines(text):
        for whole in _sentences(text, *line, language):
            begin, end = _strip(text, *whole)
            while end - begin > MAX_CHARACTERS:
                cut = _cut(text, begin)
                found.append(Sentence(*_strip(text, begin, cut)))
                begin, end = _strip(text, cut, end)
            if begin < end:
                found.append(Sentence(begin, end))
    return found


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Parts of the text that no sentence reaches across: lines, those that were wrapped together."""
    begin = line_begin = 0
    for line_break in _LINE_BREAK.finditer(text):
        length, line_begin = line_break.start() - line_begin, line_break.end()
        is_wrapped = length >= _WRAPPED_CHARACTERS and line_break["blank_lines"] is None
        if is_wrapped and text[line_begin : line_begin + 16].lstrip(" \t")[:1].islower():
            continue
        yield begin, line_begin
        begin = line_begin
    yield begin, len(text)


def _sentences(text: str, begin: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """The sentences of one line, white space included."""
    while begin < end:
        window = text[begin : min(begin + _WINDOW, end)]
        ends = [
            last
            for first, last in _split(_OTHER_BLANKS.sub(" ", window).translate(_KNOWN_QUOTES), language)
            if last < len(window) and not _UNFINISHED.search(window[first:last])
        ]
        if begin + len(window) == end:
            ends.append(len(window))
        elif not ends:
            ends.append(_cut(text, begin) - begin)
        # Otherwise the last one may go on beyond the window: the next window begins with it.
        position = begin
        for relative in ends:
            yield position, begin + relative
            position = begin + relative
        begin = position


def _split(window: str, language: str) -> list[tuple[int, int]]:
    """What the library makes of a text; the whole of it, should the library break on it."""
    if not _INNER_MARK.search(window):
        return [(0, len(window))]
    try:
        found = sentencex.get_sentence_boundaries(language, window)
    except BaseException as error:
        # A panic of Rust is a BaseException, whose class cannot be imported; other ones are not for us.
        if type(error).__name__ != "PanicException":
            raise
        return [(0, len(window))]
    return [(each["start_index"], each["end_index"]) for each in found]


def _cut(text: str, begin: int) -> int:
    """Where to divide a sentence that is too long: after a clause or at white space, late; or at its limit."""
    limit = begin + MAX_CHARACTERS
    for pattern in (_CLAUSE, _BLANK):
        found = pattern.match(text, begin, limit)
        if found and found.end() > limit - MAX_CHARACTERS // 2:
            return found.end()
    return limit


def _strip(text: str, begin: int, end: int) -> tuple[int, int]:
    """The same without white space at either end."""
    part = text[begin:end]
    begin += len(part) - len(part.lstrip())
    return begin, begin + len(part.strip())
