"""Which scripts a text is written in, and what of it a voice can say."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection

# Names of Unicode's scripts by the first word of a letter's name, where the two differ.
_SCRIPTS = {"CJK": "han", "IDEOGRAPHIC": "han"}
# Said by its name, so every voice can: μ, π.
_LONE_GREEK = re.compile(r"(?<![\u0370-\u03ff])[\u0391-\u03a9\u03b1-\u03c9](?![\u0370-\u03ff])")


@functools.lru_cache(maxsize=4096)
def script_of(character: str) -> str:
    """The script of a letter, "han" or "latin" for instance; "" for what is no letter."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "UNKNOWN").partition(" ")[0]
    return "" if first == "MODIFIER" else _SCRIPTS.get(first, first.lower())


def seems_chinese(text: str) -> bool:
    """Whether Chinese characters are in it, and no Japanese ones. A Chinese voice reads Latin letters too."""
    found = {script_of(each) for each in text}
    return "han" in found and not found & {"hiragana", "katakana"}


def foreign_scripts(text: str, scripts: Collection[str]) -> list[str]:
    """Scripts in the text beside those, by name."""
    # In the common form, where a micro sign is a Greek letter and a full-width one a Latin one.
    found = {script_of(each) for each in _LONE_GREEK.sub("", unicodedata.normalize("NFKC", text))} - {""}
    return sorted(found - set(scripts))


def without_foreign(text: str, scripts: Collection[str] | None) -> str:
    """The text without the words of other scripts than those; None for all."""
    if scripts is None or not foreign_scripts(text, scripts):
        return text

    def keep(word: re.Match[str]) -> str:
        letters = "".join(each if script_of(each) in {"", *scripts} else " " for each in word[0])
        return letters if not _LONE_GREEK.fullmatch(word[0]) else word[0]

    return re.sub(r" {2,}", " ", re.sub(r"\w+", keep, text))


def is_speakable(text: str) -> bool:
    """Whether there is a letter or a digit in it; punctuation and emoji alone make no sound."""
    return any(each.isalnum() for each in text)
