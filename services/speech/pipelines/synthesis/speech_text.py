"""Writes a script as the models read it: addresses and `say-as` in words, given sounds in their mark-up.

Numbers, dates, money and units in running text are read by the models themselves, by the rules of their languages.
Their mark-up is `[word](/phonemes/)`; brackets that a caller wrote become round ones, so that none of his are mark-up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from services.mesh import errors
from services.speech.pipelines.synthesis.phonemes import LETTERS
from services.speech.pipelines.synthesis.script import Boundary, Pause, Phonemes, SayAs, Script

_BRACKETS = str.maketrans("[]", "()")
# Controls that may lie invisibly in a text: directions, joiners, marks of byte order. Line breaks and tabs are none.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}", re.ASCII)
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'，。！？；：、（）《》“”]{1,2000}", re.IGNORECASE)
_HOST = re.compile(r"(?<![\w.@-])[A-Za-z][\w-]{1,62}(?:\.[a-z][a-z0-9]{1,10}){1,4}(?![\w.]*\w)", re.ASCII)
_DOTTED = re.compile(r"\d{1,5}(?:\.\d{1,5}){2,7}")
_DOT = {"en": " dot ", "zh": "点"}
_MARKS: Mapping[str, Mapping[str, str]] = {
    "en": {"/": " slash ", "?": " question mark ", "=": " equals ", "&": " and ", "-": " dash ", "_": " underscore ",
           "#": " hash ", "%": " percent ", ":": " colon ", "@": " at ", "+": " plus ", "~": " tilde "},
    "zh": {"/": "斜杠", "?": "问号", "=": "等于", "&": "和", "-": "杠", "_": "下划线",
           "#": "井号", "%": "百分号", ":": "冒号", "@": " at ", "+": "加", "~": "波浪号"},
}  # fmt: skip
_DIGITS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "zh": ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"],
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
# What is longer is no date, telephone number or word to be spelled.
_YEAR_DIGITS, _TELEPHONE_SIGNS, _SPELLED_SIGNS = 4, 60, 500
_SCALES = ((10**8, "亿"), (10**4, "万"), (1000, "千"), (100, "百"), (10, "十"))
_MAX_CARDINAL = 10**12


@dataclass(frozen=True, slots=True)
class Saying:
    """Text as the models read it, any number of sentences, said at one speed."""

    text: str
    rate: float


Item = Saying | Pause | Boundary


def render(script: Script, language: str) -> list[Item]:
    """The script in the language's words; neighbours of one speed are joined.

    language: en or zh. Raises InvalidArgument for a `say-as` that does not fit its text, and for `phoneme` in Chinese.
    """
    items: list[Item] = []
    for span in script.spans:
        if isinstance(span, Pause | Boundary):
            items.append(span)
            continue
        if isinstance(span, Phonemes):
            text = _phonemes(span, language)
        elif isinstance(span, SayAs):
            text = _READINGS[span.kind](span, language)
        else:
            text = plain(span.text, language)
        last = items[-1] if items else None
        if isinstance(last, Saying) and last.rate == span.rate:
            items[-1] = Saying(last.text + text, span.rate)
        else:
            items.append(Saying(text, span.rate))
    return items


def plain(text: str, language: str) -> str:
    """Running text: one form for each letter and digit, no mark-up, addresses in words."""
    text = "".join(
        each if each.isascii() or unicodedata.category(each)[0] in "PZC" or unicodedata.category(each) == "No"
        else unicodedata.normalize("NFKC", each)
        for each in text
    )  # fmt: skip
    text = _INVISIBLE.sub("", text).translate(_BRACKETS)
    text = _EMAIL.sub(lambda found: _spell_address(found[0], language), text)
    text = _URL.sub(lambda found: _spell_address(found[0], language), text)
    text = _HOST.sub(lambda found: _spell_address(found[0], language), text)
    return _DOTTED.sub(lambda found: found[0].replace(".", _DOT[language]), text)


def _spell_address(address: str, language: str) -> str:
    bare = re.sub(r"^https?://", "", address, flags=re.IGNORECASE)
    kept = bare.rstrip(".,;:!?)/")
    after = "".join(each for each in bare[len(kept) :] if each != "/")
    marks = _MARKS[language]
    words = "".join(_DOT[language] if each == "." else marks.get(each, each) for each in kept)
    return words.replace("www ", "w w w ", 1).strip() + after if words.startswith("www ") else words.strip() + after


def _phonemes(span: Phonemes, language: str) -> str:
    if language != "en":
        raise errors.InvalidArgument.field("ssml", f"phoneme: is for English, and this text is spoken as {language!r}")
    return _marked(span.text, span.ipa)


def _marked(word: str, phonemes: str) -> str:
    """One word with its sounds. The word itself tells the model only whether it is one."""
    kept = "".join(each for each in word if each.isalnum())
    return f"[{kept[:40] or 'x'}](/{phonemes}/)"


def _characters(span: SayAs, language: str) -> str:
    if len(span.text) > _SPELLED_SIGNS:
        raise _unfit(span, f"at most {_SPELLED_SIGNS} characters")

    def read(each: str) -> str:
        if each.upper() in LETTERS:
            return _marked(each, LETTERS[each.upper()])
        if each.isascii() and each.isdigit():
            return _DIGITS[language][int(each)]
        return _DOT[language].strip() if each == "." else _MARKS[language].get(each, plain(each, language)).strip()

    return ", ".join(filter(None, (read(each) for each in span.text if not each.isspace())))


def _digits(span: SayAs, language: str) -> str:
    found = [each for each in span.text if not each.isspace()]
    if not found or not all(each.isascii() and each.isdigit() for each in found):
        raise _unfit(span, "digits")
    return _row(found, language)


def _row(digits: Iterable[str], language: str) -> str:
    return (" " if language == "en" else "").join(_DIGITS[language][int(each)] for each in digits)


def _whole(span: SayAs) -> int:
    text = re.sub(r"(?<=\d)[,\s](?=\d{3})", "", span.text)
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise _unfit(span, f"a whole number below {_MAX_CARDINAL:,}")
    return int(text)


def _cardinal(span: SayAs, language: str) -> str:
    number = _whole(span)
    # With the commas, four digits are no year.
    return f"{number:,}" if language == "en" else ("负" if number < 0 else "") + _chinese(abs(number))


def _ordinal(span: SayAs, language: str) -> str:
    number = _whole(span)
    if number < 0:
        raise _unfit(span, "a number from 0")
    return f"{number}{_suffix(number)}" if language == "en" else "第" + _chinese(number)


def _suffix(number: int) -> str:
    return "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _chinese(number: int) -> str:
    """A number from 0 in Chinese numerals."""
    if number < 10:  # noqa: PLR2004 - the ten digits
        return _DIGITS["zh"][number]
    scale, name = next(each for each in _SCALES if number >= each[0])
    high, low = divmod(number, scale)
    head = "" if number < 20 else _chinese(high)  # noqa: PLR2004 - 十二, and not 一十二
    gap = "零" if 0 < low < scale // 10 else ""
    return head + name + gap + (_chinese_below(low) if low else "")


def _chinese_below(number: int) -> str:
    """As `_chinese`, after a higher numeral: 一百一十二."""
    return "一" + _chinese(number) if 10 <= number < 20 else _chinese(number)  # noqa: PLR2004 - the tens


def _telephone(span: SayAs, language: str) -> str:
    groups = re.findall(r"\d+", span.text, re.ASCII)
    if not groups or len(span.text) > _TELEPHONE_SIGNS or re.search(r"[^\d\s()+./-]", span.text):
        raise _unfit(span, "a telephone number")
    if len(groups) == 1 and len(groups[0]) > 6:  # noqa: PLR2004 - as people say them: groups of three or four
        groups = re.findall(r"\d{1,4}(?=(?:\d{4})*$)", groups[0])
    plus = {"en": "plus ", "zh": "加"}[language] if span.text.lstrip().startswith("+") else ""
    spoken = [_row(group, language) for group in groups]
    if language == "zh":
        spoken = [each.replace("一", "幺") for each in spoken]
    return plus + ("，" if language == "zh" else ", ").join(spoken)


def _date(span: SayAs, language: str) -> str:
    parts = re.findall(r"\d+", span.text, re.ASCII)
    if re.search(r"[^\d\s./年月日-]", span.text):
        if span.order:
            raise _unfit(span, "numbers in the order of its format")
        return plain(span.text, language)  # "5 March 2026" is read as it is
    order = span.order or _usual_order(parts, language)
    if len(order) != len(parts) or any(len(part) > _YEAR_DIGITS for part in parts):
        raise _unfit(span, "a date")
    values = {name: int(part) for name, part in zip(order, parts, strict=True)}
    if not (1 <= values.get("m", 1) <= 12 and 1 <= values.get("d", 1) <= 31 and values.get("y", 1) <= 9999):  # noqa: PLR2004
        raise _unfit(span, "a date: months are 1 to 12 and days 1 to 31")
    if language == "zh":
        return "".join(
            f"{values[name]}{word}" for name, word in (("y", "年"), ("m", "月"), ("d", "日")) if name in values
        )
    day = f"{values['d']}{_suffix(values['d'])}" if "d" in values else ""
    month_day = f"{_MONTHS[values['m'] - 1]} {day}".strip() if "m" in values else day
    year = str(values["y"]) if "y" in values else ""
    return (", " if day else " ").join(filter(None, (month_day, year)))


def _usual_order(parts: list[str], language: str) -> str:
    if len(parts) == 1:
        return "y"
    if len(parts) == 2:  # noqa: PLR2004 - of three
        return "ym" if len(parts[0]) == 4 else "my" if len(parts[1]) == 4 else "md"  # noqa: PLR2004 - digits of a year
    return "ymd" if len(parts[0]) == 4 or language == "zh" else "mdy"  # noqa: PLR2004 - digits of a year


def _unfit(span: SayAs, wanted: str) -> errors.InvalidArgument:
    return errors.InvalidArgument.field("ssml", f"say-as: {span.kind} takes {wanted}")


_READINGS: Mapping[str, Callable[[SayAs, str], str]] = {
    "characters": _characters,
    "digits": _digits,
    "cardinal": _cardinal,
    "ordinal": _ordinal,
    "telephone": _telephone,
    "date": _date,
}
