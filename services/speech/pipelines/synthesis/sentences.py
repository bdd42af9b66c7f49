"""Cuts text into what is synthesised at once, while it comes."""

from __future__ import annotations

import re

from services.mesh.deadline import Deadline
from services.mesh.ports import Preprocessor
from services.speech.pipelines.synthesis.writing import script_of

# How much may wait for the end of its sentence.
MAX_WAITING_BYTES = 5000
# What has come is segmented as if this word followed, of which none can say that it begins a sentence: after "Dr. " it
# does not end one, after "here. " it does. The beginning of a word is replaced by it, since "Th" tells less than "The".
_NEXT = "Smith"
_BEGUN = re.compile(r"(?<=\s)[A-Za-z][\w'’-]*$")
_MAY_END = re.compile(r"[.!?…。！？｡\n\r\u2028\u2029]")
# The end of what has come may be that of a sentence: Chinese ones need no white space after them. A line without a full
# stop may have been wrapped.
_ENDED = re.compile(r"(?:[.!?…][\"'”’»)\]]*\s|\n\s*\n\s*|[。！？｡][”’」』）)】》]*)\s*$")
# Before a quote has something in it, nobody knows to which sentence it belongs.
_OPENING = tuple("\"'“‘«「『([（")
_CLAUSE = re.compile(r"[,;:—)]\s|[，、；：）——]")
_MARKUP = re.compile(r"\[[^\]]*\]\(/[^)]*/\)")
_HAN_WEIGHT = 4


class SentenceCutter:
    """Takes text in pieces that end anywhere, and gives each sentence as soon as it is certain that it has ended."""

    def __init__(self, preprocessor: Preprocessor, language: str) -> None:
        """language: BCP-47, "" for what each sentence seems to be."""
        self._preprocessor = preprocessor
        self._language = language
        self._waiting = ""

    async def add(self, text: str, deadline: Deadline) -> list[str]:
        """The sentences that have ended with this text."""
        self._waiting += text
        found: list[str] = []
        if _MAY_END.search(self._waiting) and not self._waiting.endswith(_OPENING):
            *ended, last = await self._segment(_with_probe(self._waiting), deadline) or [(0, 0)]
            found = [self._waiting[begin:end] for begin, end in ended]
            # What follows the last one that has ended.
            self._waiting = self._waiting[last[0] :] if ended else self._waiting
        while len(self._waiting.encode()) > MAX_WAITING_BYTES:
            room = self._waiting.encode()[:MAX_WAITING_BYTES].decode(errors="ignore")
            cut = max((each.end() for each in re.finditer(r"\s+", room)), default=len(room))
            found.append(self._waiting[:cut].strip())
            self._waiting = self._waiting[cut:]
        return [each for each in found if each]

    async def flush(self, deadline: Deadline) -> list[str]:
        """All that waits, as if a sentence ended here."""
        waiting, self._waiting = self._waiting, ""
        return [waiting[begin:end] for begin, end in await self._segment(waiting, deadline)] if waiting.strip() else []

    async def _segment(self, text: str, deadline: Deadline) -> list[tuple[int, int]]:
        language = self._language or ("zh" if any(script_of(each) == "han" for each in text) else "en")
        (found,) = await self._preprocessor.segment([text], language_codes=[language], deadline=deadline)
        return [(each.begin, each.end) for each in found]


def _with_probe(text: str) -> str:
    """The text, certain of what its last sentence is."""
    if begun := _BEGUN.search(text):
        return text[: begun.start()] + (_NEXT.lower() if begun[0][0].islower() else _NEXT)
    return text + (_NEXT if _ENDED.search(text) else "")


def clauses(sentence: str, *, first: int, longest: int) -> list[str]:
    """The sentence in parts, none longer than `longest` and the first, where that goes, not longer than `first`.

    Lengths count a Chinese character as four letters, since it sounds so long. Parts end after a clause, else at white
    space, else anywhere but within mark-up.
    """
    found: list[str] = []
    limit = first
    while _weight(sentence) > limit:
        cut = _cut(sentence, limit, required=limit >= longest)
        if cut:
            found.append(sentence[:cut].strip())
            sentence = sentence[cut:]
        elif limit >= longest:
            break
        # Each part may be longer than the one before: its sound is there before the other's has been heard.
        limit = min(longest, limit * 2)
    return [each for each in (*found, sentence.strip()) if each]


def _weight(text: str) -> int:
    return sum(_HAN_WEIGHT if script_of(each) == "han" else 1 for each in text)


def _cut(text: str, limit: int, *, required: bool) -> int:
    """Where to divide; 0 for nowhere. required: at white space or anywhere, if there is no clause."""
    weight = end = 0
    while end < len(text) and weight + _weight(text[end]) <= limit:
        weight += _weight(text[end])
        end += 1
    inside = [each.span() for each in _MARKUP.finditer(text)]

    def free(position: int) -> bool:
        return not any(begin < position < last for begin, last in inside)

    ends = [each.end() for each in _CLAUSE.finditer(text, 0, end + 1) if free(each.end())]
    # A part of a word or two would sound cut off.
    if ends and _weight(text[: ends[-1]]) * 4 >= limit:
        return ends[-1]
    if not required:
        return 0
    blanks = [each.end() for each in re.finditer(r"\s", text[: end + 1]) if free(each.end())]
    if blanks:
        return blanks[-1]
    return next((last for begin, last in inside if begin < end < last), max(end, 1))
