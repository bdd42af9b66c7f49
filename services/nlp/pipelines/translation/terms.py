"""What must survive a translation: found and held before it, looked for and put back after it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.nlp.pipelines.translation.markup import HELD, Kept, Kind, Prose, Text

# A letter of scripts that put blanks between words; Chinese and Japanese terms are found anywhere.
_LETTER = r"[^\W\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]"
# Nothing that ends a link in prose: blanks, brackets, quotation marks, Chinese, and what is held already.
_LINK = r"[^\s<>\"'`()\[\]{}\u2e80-\uffef\U000f0000-\U000ffffd]"
_PLACEHOLDERS = (
    r"`[^`\n]+`",
    rf"\bhttps?://{_LINK}*(?<![.,;:!?])",
    rf"\bwww\.{_LINK}+(?<![.,;:!?])",
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    r"\$\{[^{}\n]{1,60}\}",
    r"\$[A-Z][A-Z_]+\b",
    r"\{\{[^{}\n]{1,60}\}\}",
    r"\{%[^{}\n]{1,60}%\}",
    r"\{[\w.:!<>^%+,#-]{0,60}\}",
    r"%\(\w{1,60}\)[-+ #]{0,3}\d{0,4}(?:\.\d{1,4})?[a-zA-Z]",
    r"%(?:\d{1,2}\$)?[-+#]{0,3}\d{0,4}(?:\.\d{1,4})?(?:l{0,2}[dufs]|[xXeEgGcr@])(?![A-Za-z])",
    r"(?<![\w:]):[a-z_]{2,60}\b",
    r"</?[A-Za-z]?\w{0,20}\s?/?>",
    r"[\[\u27e6\u3010]\d{1,4}[\]\u27e7\u3011]",
)
_PLACEHOLDER = re.compile("|".join(_PLACEHOLDERS))
# Where something may be put back: between words or Chinese characters. What closes stands behind a word.
_BEFORE_WORDS = re.compile(r"^|(?<=\s)(?=\S)|(?<=[\u2e80-\uffef])|(?=[\u2e80-\uffef])|$")
_BEHIND_WORDS = re.compile(r"^|(?<=\S)(?=[\s.,;:!?]|$)|(?<=[\u2e80-\uffef])|(?=[\u2e80-\uffef])")


@dataclass(frozen=True, slots=True)
class Wording:
    """Terms of the caller's: a glossary of source and target terms, and what is not translated."""

    glossary: tuple[tuple[str, str], ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model made of a text: the characters that stand for what is kept are back, but for those missing."""

    text: str
    missing: str

    @property
    def faults(self) -> int:
        """How many things are missing."""
        return len(self.missing)


def protect(text: Text, wording: Wording) -> None:
    """Hold, in all prose of a text, placeholders and the caller's terms, of these the longest first."""
    terms = [(term, Kind.TERM, "") for term in wording.keep]
    terms += [(source, Kind.GLOSSARY, target) for source, target in wording.glossary]
    terms.sort(key=lambda term: -len(term[0]))
    folded = [term.casefold() for term, _, _ in terms]

    def held(prose: str) -> str:
        prose = _PLACEHOLDER.sub(lambda match: _held(text, Kind.PLACEHOLDER, match[0]), prose)
        there = prose.casefold()
        for (term, kind, target), look in zip(terms, folded, strict=True):
            if look in there:  # which is much faster
                prose = _found(term, kind).sub(lambda match: _held(text, kind, target or match[0]), prose)  # noqa: B023 - used at once
        return prose

    text.pieces = [Prose(held(each.text), each.soft) if isinstance(each, Prose) else each for each in text.pieces]


def shown(text: Text, prose: str, *, masked: bool) -> tuple[str, dict[str, str]]:
    """The prose as a model sees it, and for what it sees the characters that stand for it in order.

    masked: show numbers in brackets for everything but symbols.
    """
    names: dict[str, str] = defaultdict(str)
    numbers = iter(range(1, len(prose) + 1))

    def name(match: re.Match[str]) -> str:
        kept = text[match[0]]
        name = f"[{next(numbers)}]" if masked and kept.kind is not Kind.SYMBOL else kept.shown
        names[name] += match[0]
        # A number at a word makes models leave the word as it is.
        apart = name != kept.shown
        return " " * (apart and kept.step < 0) + name + " " * (apart and kept.step > 0)

    return HELD.sub(name, prose), dict(names)


def read(text: Text, output: str, names: Mapping[str, str]) -> Reading:
    """What a model wrote, understood. Copies of placeholders and tags that the source has not are taken out."""
    if not names:
        return Reading(output, "")
    left = dict(names)

    def character(match: re.Match[str]) -> str:
        name = _name(match[0], names)
        if left[name]:
            first, left[name] = left[name][0], left[name][1:]
            return first
        surplus = text[names[name][0]].kind in (Kind.PLACEHOLDER, Kind.TAG) or name.startswith("[")
        return "" if surplus else match[0]

    patterns = [_written(name, text[characters[0]]) for name, characters in names.items()]
    patterns.sort(key=len, reverse=True)
    found = re.sub("|".join(patterns), character, HELD.sub("", output))
    missing = "".join(left.values())
    tags = [each for each in HELD.findall(found) if text[each].kind is Kind.TAG]
    if not _nested(text, tags):
        # None of them can be trusted.
        found = "".join(each for each in found if each not in tags)
        missing += "".join(sorted(tags))
    return Reading(found, missing)


def mended(text: Text, source: str, reading: Reading) -> tuple[str, list[Kept], list[Kept]]:
    """The reading with what is missing put back, what was put back, and what was not.

    source: the prose that was translated. Symbols and glossary terms are not put back, since the model said them in
    words of its own, nor is a term that the reading still has elsewhere.
    """
    there = {text[each].raw for each in HELD.findall(reading.text)}
    back: list[str] = []
    lost: list[Kept] = []
    for each in HELD.findall(source):
        kept = text[each]
        if each not in reading.missing:
            continue
        if kept.kind in (Kind.SYMBOL, Kind.GLOSSARY) or (kept.kind is Kind.TERM and kept.raw in there):
            lost.append(kept)
        else:
            back.append(each)
    result = _put_back(text, source, reading.text, back)
    if not _nested(text, HELD.findall(result)):
        # Tags cannot stay where the model had them: all again, in the order of the source, where they nest.
        back = [each for each in HELD.findall(source) if each in back or text[each].kind is Kind.TAG]
        bare = "".join(each for each in reading.text if each not in back)
        result = _put_back(text, source, bare, back)
    return result, [text[each] for each in reading.missing if each in back], lost


def peeled(text: Text, prose: str) -> tuple[str, str, str]:
    """Tags and blanks at both ends of prose that can stand outside of it, and what they enclose."""
    left, right = 0, len(prose)
    pairs = dict(_pairs(text, prose))
    closing = {close: opening for opening, close in pairs.items()}

    def outside(index: int) -> bool:
        return prose[index].isspace() or (_is_tag(text, prose[index]) and index not in pairs and index not in closing)

    while left < right:
        if outside(left):
            left += 1
        elif outside(right - 1):
            right -= 1
        elif pairs.get(left) == right - 1:
            left, right = left + 1, right - 1
        else:
            break
    return prose[:left], prose[left:right], prose[right:]


def _held(text: Text, kind: Kind, raw: str) -> str:
    # A glossary term comes from the caller, a placeholder from the prose: both are written as prose is.
    return text.hold(Kept(kind, text.escape(raw), raw))


def _found(term: str, kind: Kind) -> re.Pattern[str]:
    return re.compile(_whole(term), re.IGNORECASE if kind is Kind.GLOSSARY else 0)


def _whole(term: str) -> str:
    """A pattern for the term as a whole word."""
    before = f"(?<!{_LETTER})" if re.match(_LETTER, term) else ""
    after = f"(?!{_LETTER})" if re.match(_LETTER, term[-1]) else ""
    return before + re.escape(term) + after


def _written(name: str, kept: Kept) -> str:
    """A pattern for what a model was shown, as it may write it."""
    if name != kept.shown:
        number = rf"[\[\u3010\uff3b]\s?{name[1:-1]}\s?[\]\u3011\uff3d]"
        return "[ ]?" * (kept.step < 0) + number + "[ ]?" * (kept.step > 0)
    if kept.kind is Kind.GLOSSARY:
        return f"(?i:{_whole(name)})"
    return _whole(name) if kept.kind is Kind.TERM else re.escape(name)


def _name(found: str, names: Mapping[str, str]) -> str:
    """Which of the names that is."""
    if found in names:
        return found
    if number := re.search(r"\d+", found):
        masked = f"[{number[0]}]"
        if masked in names:
            return masked
    return next(name for name in names if name.lower() == found.lower())


def _pairs(text: Text, prose: str) -> Iterator[tuple[int, int]]:
    """Where tags open and close that belong together."""
    opened: dict[str, list[int]] = defaultdict(list)
    for match in HELD.finditer(prose):
        kept = text[match[0]]
        if kept.step > 0:
            opened[kept.element].append(match.start())
        elif kept.step < 0 and opened[kept.element]:
            yield opened[kept.element].pop(), match.start()


def _is_tag(text: Text, character: str) -> bool:
    return HELD.match(character) is not None and text[character].kind is Kind.TAG


def _nested(text: Text, tags: list[str]) -> bool:
    """Whether no tag closes what is not the last that opened; tags of which the prose has one half do not count."""
    halves = [text[held] for held in tags if text[held].kind is Kind.TAG]
    opened: list[str] = []
    names = {half.shown for half in halves}
    for half in halves:
        if half.step > 0 and half.shown.replace("<", "</") in names:
            opened.append(half.shown)
        elif (
            half.step < 0
            and half.shown.replace("</", "<") in names
            and (not opened or opened.pop() != half.shown.replace("</", "<"))
        ):
            return False
    return True


def _put_back(text: Text, source: str, result: str, characters: list[str]) -> str:
    """Each at the gap between words that is as far between what stands around it as it is in the source."""
    for each in characters:
        place = source.index(each)
        before = next(((at, result.index(held)) for at, held in _before(source, place) if held in result), (-1, -1))
        behind = next(
            (
                (match.start(), result.index(match[0]))
                for match in HELD.finditer(source, place + 1)
                if match[0] in result
            ),
            (len(source), len(result)),
        )
        if behind[1] < before[1]:
            # The model changed the order.
            before, behind = (-1, -1), (len(source), len(result))
        share = (place - before[0]) / (behind[0] - before[0])
        pattern = _BEHIND_WORDS if text[each].step < 0 else _BEFORE_WORDS
        gaps = [match.start() for match in pattern.finditer(result) if before[1] < match.start() <= behind[1]]
        wanted = before[1] + share * (behind[1] - before[1])
        gap = min(gaps, key=lambda gap: abs(gap - wanted), default=behind[1])
        apart = text[each].kind is not Kind.TAG
        lead = " " if apart and re.search(f"{_LETTER}$", result[:gap]) else ""
        trail = " " if apart and re.match(_LETTER, result[gap:]) else ""
        result = result[:gap] + lead + each + trail + result[gap:]
    return result


def _before(source: str, place: int) -> Iterator[tuple[int, str]]:
    """What is held before a place, the nearest first."""
    return reversed([(match.start(), match[0]) for match in HELD.finditer(source, 0, place)])
