"""Cleans text."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Form = Literal["NFC", "NFKC"]

# Letters of scripts in which a joiner between two letters decides the word: Arabic (Persian, Urdu), Syriac, N'Ko, the
# scripts of India, Tibetan to Burmese, Khmer, Mongolian, and Arabic's presentation forms.
_JOINING = "\u0620-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
# What may stand left and right of the joiner in one emoji: pictographs, arrows and signs, skin tones, and on the left
# the selector that asks for the coloured picture.
_PICTURE = "\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff"
_REMOVED = re.compile(
    # control characters, except those that count as white space
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    # soft hyphen, zero-width blanks, direction marks, invisible operators, byte-order mark, interlinear and music marks
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a]"
    # joiners that join nothing
    f"|(?<![{_JOINING}])\u200c|(?<![{_JOINING}{_PICTURE}\ufe0f])\u200d"
    f"|(?<=[{_PICTURE}\ufe0f])\u200d(?![{_PICTURE}])"
    # invisible tags, unless they spell the region of a flag
    "|(?:\U0001f3f4[\U000e0020-\U000e007e]{1,6}\U000e007f)|[\U000e0000-\U000e007f]"
)
_BLANKS = re.compile(r"\s+")
_LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")


def normalize(text: str, *, form: Form, fold_case: bool, keep_line_breaks: bool) -> str:
    r"""The text in one Unicode form, without control and zero-width characters, each run of white space one blank.

    The joiners U+200C and U+200D stay where they carry meaning: after a letter of a script that they join (Persian,
    Hindi) and between the parts of one emoji; and so do the invisible tags of a flag. Everywhere else they go.
    fold_case: lower the case by full case folding, "Straße" to "strasse".
    keep_line_breaks: keep each as "\n", without blanks around it; otherwise they are white space.
    """
    text = unicodedata.normalize(form, _REMOVED.sub(_flag_or_nothing, text))
    if fold_case:
        text = unicodedata.normalize(form, text.casefold())
    lines = _LINE_BREAK.split(text) if keep_line_breaks else [text]
    return "\n".join(_BLANKS.sub(" ", line).strip() for line in lines).strip()


def _flag_or_nothing(match: re.Match[str]) -> str:
    found = match[0]
    return found if found[0] == "\U0001f3f4" else ""
