"""Transcripts as files of captions: SubRip and WebVTT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from services.speech.pipelines.recognition.transcriber import Segment, Word, joined

CaptionFormat = Literal["srt", "vtt"]

_LINES = 2
_LINE_CHARACTERS = 42
_WIDE_LINE_CHARACTERS = 16
_MAX_SECONDS = 7.0
# A cue ends at a pause of so many seconds.
_PAUSE_SECONDS = 1.0
# Shorter ones cannot be read; a cue stays so long if the next one does not come before.
_MIN_SECONDS = 1.0

_WIDE = re.compile(r"[\u1100-\u11ff\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f\u2026][\"'\u201d\u2019)\u300d\u300f]*$")
_CLAUSE_END = re.compile(r"[,;:\uff0c\u3001\uff1b\uff1a\u2014-]$")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Captions:
    """Writes results one after the other; all that `render` returned is one file.

    first_cue: how many cues a file that is gone on with has. cues: how many it has now.
    """

    def __init__(self, file_format: CaptionFormat, first_cue: int = 0) -> None:
        self._format = file_format
        self._written = first_cue > 0
        self.cues = first_cue

    def render(self, segments: Iterable[Segment]) -> str:
        """The next part of the file; a segment without words has its text in one cue, or in some of equal pace."""
        text = "" if self._written or self._format == "srt" else "WEBVTT\n\n"
        self._written = True
        cues = [cue for segment in segments for cue in _cues(_words(segment))]
        for cue, following in zip(cues, [*cues[1:], None], strict=True):
            begin = cue[0].start
            limit = following[0].start if following else begin + _MIN_SECONDS
            end = min(max(cue[-1].end, min(begin + _MIN_SECONDS, limit)), begin + _MAX_SECONDS)
            self.cues += 1
            text += self._cue(begin, end, "\n".join(map(_text, _lines(cue))))
        return text

    def _cue(self, begin: float, end: float, text: str) -> str:
        times = f"{self._time(begin)} --> {self._time(end)}"
        if self._format == "vtt":
            # A number beside the times helps whoever edits the file.
            text = re.sub(r"[&<>]", lambda found: _ESCAPES[found[0]], text)
        return f"{self.cues}\n{times}\n{text}\n\n"

    def _time(self, seconds: float) -> str:
        minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
        hours, minutes = divmod(minutes, 60)
        mark = "," if self._format == "srt" else "."
        return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{mark}{milliseconds % 1000:03}"


def _words(segment: Segment) -> Sequence[Word]:
    """Its words; or those of its text, spread over its time by their length."""
    if segment.words:
        return segment.words
    texts = re.findall(
        r"[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]|[^\s\u3000-\u30ff\u3400-\u9fff]+", segment.text
    )
    pace = (segment.end - segment.start) / max(1, sum(map(len, texts)))
    words, begin = [], segment.start
    for text in texts:
        words.append(Word(word=text, start=begin, end=begin + pace * len(text), confidence=segment.confidence))
        begin = words[-1].end
    return words


def _cues(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Words that are shown together: as many as fit, and no more than to the last good place to stop."""
    begin = 0
    while begin < len(words):
        end = begin + 1
        while end < len(words) and _fits(words[begin : end + 1]):
            end += 1
        if end < len(words) and words[end].start - words[end - 1].end < _PAUSE_SECONDS:
            end = _break(words, begin, end)
        yield words[begin:end]
        begin = end


def _fits(words: Sequence[Word]) -> bool:
    paused = words[-1].start - words[-2].end >= _PAUSE_SECONDS
    return not paused and words[-1].end - words[0].start <= _MAX_SECONDS and len(_lines(words)) <= _LINES


def _break(words: Sequence[Word], begin: int, end: int) -> int:
    """Where to stop at the latest before `end`: after a sentence, a clause, or anywhere; not before half of it."""
    for mark in (_SENTENCE_END, _CLAUSE_END):
        for place in range(end, begin + (end - begin) // 2, -1):
            if mark.search(words[place - 1].word):
                return place
    return end


def _lines(words: Sequence[Word]) -> list[Sequence[Word]]:
    """Lines, each filled as far as it goes; the first of two ends at a clause if the second can take the rest."""
    lines: list[Sequence[Word]] = []
    begin = 0
    for place in range(1, len(words) + 1):
        if place == len(words) or not _in_line(words[begin : place + 1]):
            lines.append(words[begin:place])
            begin = place
    if len(lines) == _LINES:
        first = len(lines[0])
        for place in range(first, first // 2, -1):
            if _CLAUSE_END.search(words[place - 1].word) or _SENTENCE_END.search(words[place - 1].word):
                if _in_line(words[place:]):
                    return [words[:place], words[place:]]
                break
    return lines


def _in_line(words: Sequence[Word]) -> bool:
    text = _text(words)
    wide = len(_WIDE.findall(text))
    return len(text) <= (_WIDE_LINE_CHARACTERS if 2 * wide > len(text) else _LINE_CHARACTERS)


def _text(words: Sequence[Word]) -> str:
    return joined(word.word for word in words)
