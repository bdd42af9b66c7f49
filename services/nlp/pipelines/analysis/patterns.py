"""Things in texts that have a form of their own: addresses, numbers, amounts, dates written in digits.

All patterns look at ASCII digits and letters, so that Chinese on either side does not hide a match, and none backtracks
further than a bounded repetition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain

import phonenumbers


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that a text names: code-point offsets, kind, and how sure that is, 0..1, if known."""

    begin: int
    end: int
    kind: str
    score: float | None = 1.0


# Where a number without a country code is dialled, by language; a region in the language's tag goes before.
_REGIONS = {"en": "US", "zh": "CN", "de": "DE", "fr": "FR", "es": "ES", "pt": "BR", "it": "IT", "ja": "JP", "ko": "KR"}
# Digits that look like a telephone number and are none, at some 70 us each; after so many the search ends.
_MAX_WRONG_NUMBERS = 200

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
# Up to white space, quotes, and the punctuation and characters of Chinese, which people write without a blank.
_URL = re.compile(
    r"(?<![A-Za-z0-9@.])(?P<start>(?:https?|ftp)://|www\.)[^\s<>\"'`{}|\\^\u3000-\u303f\u3400-\u9fff\uff00-\uff65]{3,2048}",
    re.IGNORECASE,
)
_CARD_FORMS = re.compile(
    r"(?<![A-Za-z0-9])(?=[2-6])(?:"
    r"[0-9]{13,19}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?P<more>\1[0-9]{3})?"
    r"|[0-9]{4}([ -])[0-9]{6}\3[0-9]{4,5}"
    r")(?![A-Za-z0-9])"
)
# Visa, Mastercard, American Express, Diners, JCB, and Discover, UnionPay and others that begin with 6.
_CARD_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|6\d{15}(?:\d{3})?"
)
_AMOUNT = r"[0-9]{1,3}(?:[,.'][0-9]{3}){1,5}(?:[.,][0-9]{1,2})?(?![0-9])|[0-9]{1,15}(?:[.,][0-9]{1,4})?(?![0-9])"
_SCALE = r"(?:[ \u00a0]?(?:thousand|million|billion|trillion|mn|bn|[kKmM](?![A-Za-z]))|[十百千]?[万亿]{1,2})"
_CODE = r"(?:USD|EUR|GBP|CNY|RMB|JPY|HKD|TWD|CHF|CAD|AUD|NZD|SGD|INR|KRW|BRL)"
_MONEY = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:US|CA|AU|HK|NT|NZ|SG|A|C|S|R)?\$|[€£¥￥₹₩]|{_CODE})[ \u00a0]?(?:{_AMOUNT}){_SCALE}?"
    rf"|(?<![A-Za-z0-9.,])(?:{_AMOUNT}){_SCALE}?[ \u00a0]?(?:"
    rf"[€£]|(?:{_CODE}|(?:US[ ])?dollars?|euros?|pounds?|yuan|yen|cents?)(?![A-Za-z])"
    r"|(?:美|欧|日|韩|港|加|澳)元|元(?![素旦宵件老首])|块钱|英镑|人民币|円)"
)
_DATES = (
    # 2024-05-01, with a time of day or without; 2024/5/1, 2024.5.1
    re.compile(
        r"(?<![0-9./-])(?P<y>[12][0-9]{3})(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P=s)(?P<d>[0-9]{1,2})"
        r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?(?![0-9]|[./-][0-9])"
    ),
    # 5/1/2024, 1.5.2024, 5/1/24: the day or the month first
    re.compile(
        r"(?<![0-9./-])(?P<d>[0-9]{1,2})(?P<s>[/.-])(?P<m>[0-9]{1,2})(?P=s)(?P<y>[12][0-9]{3}|(?<=/)[0-9]{2})"
        r"(?![0-9]|[./-][0-9])"
    ),
    re.compile(r"(?<![0-9])(?P<y>[12][0-9]{3})年(?P<m>[0-9]{1,2})月(?:(?P<d>[0-9]{1,2})[日号])?"),
    re.compile(r"(?<![0-9])(?P<m>[0-9]{1,2})月(?P<d>[0-9]{1,2})[日号]"),
)


def find(text: str, language_code: str = "", tag: str = "") -> list[Found]:
    """All that has a pattern, in order and without overlaps: of what overlaps, the longest.

    language_code, tag: decide in which country a telephone number without a country code is.
    Takes some 10 ms for 8 KiB of ordinary text and up to 50 ms for digits only: run it beside the event loop.
    """
    found = [
        *_addresses(text),
        *_cards(text),
        *_phones(text, _region(language_code, tag)),
        *(Found(*match.span(), "DATE") for form in _DATES for match in form.finditer(text) if _is_date(match)),
        *(Found(*match.span(), "MONEY") for match in _MONEY.finditer(text)),
    ]
    return without_overlaps(found)


def without_overlaps(*ranks: Sequence[Found]) -> list[Found]:
    """In the order of the text; of what overlaps the first rank, then the longest, then the first given."""
    taken = bytearray(max((each.end for each in chain(*ranks)), default=0))
    kept = []
    for rank in ranks:
        for each in sorted(rank, key=lambda one: one.begin - one.end):
            if taken.find(1, each.begin, each.end) < 0:
                taken[each.begin : each.end] = b"\1" * (each.end - each.begin)
                kept.append(each)
    return sorted(kept, key=lambda one: one.begin)


def _addresses(text: str) -> Iterator[Found]:
    for match in _EMAIL.finditer(text):
        yield Found(*match.span(), "EMAIL")
    for match in _URL.finditer(text):
        bare = match[0]
        # What ends a sentence or closes a bracket that was opened before the address is not part of it.
        while bare[-1] in ".,;:!?*_~')]}" and not (bare[-1] == ")" and bare.count("(") >= bare.count(")")):
            bare = bare[:-1]
        if len(bare) > len(match["start"]):
            yield Found(match.start(), match.start() + len(bare), "URL")


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD_FORMS.finditer(text):
        # Three digits that follow may be the card's own, or another number.
        for end in (match.end(), match.start("more")):
            if _is_card(text[match.start() : end]):
                yield Found(match.start(), end, "CARD_NUMBER")
                break


def _phones(text: str, region: str | None) -> Iterator[Found]:
    for match in phonenumbers.PhoneNumberMatcher(text, region, max_tries=_MAX_WRONG_NUMBERS):
        yield Found(match.start, match.end, "PHONE_NUMBER")


def _region(language_code: str, tag: str) -> str | None:
    subtags = tag.replace("_", "-").split("-")[1:]
    given = next((subtag.upper() for subtag in subtags if len(subtag) == 2), None)  # noqa: PLR2004 - ISO 3166
    return given or _REGIONS.get(language_code)


def _is_card(form: str) -> bool:
    """Whether an issuer has such numbers, and the check digit (Luhn, ISO/IEC 7812-1) is right."""
    digits = form.replace(" ", "").replace("-", "")
    if not _CARD_ISSUERS.fullmatch(digits):
        return False
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0  # noqa: PLR2004 - the sum of two digits


def _is_date(match: re.Match[str]) -> bool:
    """Whether the calendar has such a day, whichever of day and month comes first."""
    numbers = match.groupdict()
    year, month, day = (int(numbers.get(part) or default) for part, default in (("y", 2000), ("m", 1), ("d", 1)))
    return _exists(year, month, day) or ("s" in numbers and _exists(year, day, month))


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(max(year, 1), month, day)
    except ValueError:
        return False
    return True
