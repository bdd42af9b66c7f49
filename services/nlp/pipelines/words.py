"""How texts are measured: words, what of them carries meaning, sentences, and a language model's tokens."""

from __future__ import annotations

import re

# Han, kana and hangul: written without spaces, or counted by character.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_CJK_RUN = re.compile(f"[{_CJK}]+")
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}](?:[^\W{_CJK}]|['\u2019.,-](?=[^\W_{_CJK}]))*")
_PLAIN_WORD = re.compile(rf"[^\W_{_CJK}]+")
# An end of a sentence, with closing quotes and brackets; a full stop between figures or before a small letter is none.
# Models repeat themselves without end, so nothing here looks further than a few marks ahead.
_END = re.compile(
    r"(?:[\u3002\uff01\uff1f!?]++|(?<!\b[A-Z])(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bMrs)(?<!\bSt)(?<!\bNo)\.++"
    r"(?=[^\w\s]{0,8}(?:\s|$)))[\"'\u201d\u2019\u300d\u300f)\uff09\]]*+(?!\s+[a-z])"
)
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about after all also am an and any are as at be been before being but by can could did do does for "
        "from had has have he her here hers him his how i if in into is it its just may me might more most must "
        "my no not of off on or our out over said say says shall she should so some such than that the their them "
        "then there these they this those to too under until up upon us very was we were what when where which "
        "while who whom whose why will with would yes you your answer sentence sentences s t d ll re ve",
    )
)
_FUNCTION_CHARACTERS = frozenset(
    "的了是在和与及或也都就而被把对从到为以于之其这那哪吗呢吧啊有个您你我他她它们什么多少几谁怎请问"
)
_STEM = 5
# What costs a language model more or fewer tokens than other characters.
_ASCII_LETTER, _DIGIT = re.compile("[A-Za-z]"), re.compile(r"\d")
_WIDE, _ASTRAL = re.compile("[\u2e80-\U0010ffff]"), re.compile("[\U00010000-\U0010ffff]")


def is_cjk(text: str) -> bool:
    """Whether most of a text's letters are Chinese, Japanese or Korean."""
    return 2 * len(_CJK_CHARACTER.findall(text)) >= sum(map(str.isalpha, text)) > 0


def count_words(text: str) -> int:
    """Words; of Chinese, Japanese and Korean, characters."""
    return len(_WORD.findall(text))


def terms(text: str) -> set[str]:
    """What of a text carries meaning: beginnings of words that are no function words, and pairs of CJK characters."""
    words = (word.lower() for word in _PLAIN_WORD.findall(text))
    found = {word[:_STEM] for word in words if word not in _FUNCTION_WORDS and not word.isdecimal()}
    for run in _CJK_RUN.findall(text):
        for part in re.split(f"[{''.join(_FUNCTION_CHARACTERS)}]", run):
            found |= {part[index : index + 2] for index in range(max(1, len(part) - 1))} - {""}
    return found


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text that a model wrote begin and end; the last may be unfinished."""
    spans, begin = [], 0
    for match in _END.finditer(text):
        spans.append((begin, match.end()))
        begin = match.end()
        while begin < len(text) and text[begin].isspace():
            begin += 1
    if text[begin:].strip():
        spans.append((begin, len(text)))
    return spans


def is_finished(sentence: str) -> bool:
    """Whether a text ends with the end of a sentence."""
    end = len(sentence.rstrip())
    return any(match.end() == end for match in _END.finditer(sentence))


def estimated_tokens(text: str) -> int:
    """About how many tokens a language model reads a text as; rather too many than too few."""
    letters, wide = len(_ASCII_LETTER.findall(text)), len(_WIDE.findall(text))
    # Each digit is a token, and an emoji or a rare ideograph three.
    dear = 0.3 * len(_DIGIT.findall(text)) + 2 * len(_ASTRAL.findall(text))
    return int(wide + letters / 3.5 + 0.7 * (len(text) - wide - letters) + dear) + 1
