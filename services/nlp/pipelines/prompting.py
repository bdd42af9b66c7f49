"""What all prompts need: names of languages, and texts of others kept apart from what the model is asked."""

from __future__ import annotations

from collections.abc import Sequence

# BCP-47 -> what models know the language as.
_LANGUAGES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "zh": "Simplified Chinese",
}


def language_name(language_code: str, otherwise: str) -> str:
    """The language in English. otherwise: for a code that is not known here."""
    return _LANGUAGES.get(language_code, otherwise)


def fenced(text: str, tag: str = "text") -> str:
    """A text between marks that it does not have itself."""
    return f"<{tag}>\n{without(text, (f'<{tag}>', f'</{tag}>'))}\n</{tag}>"


def without(text: str, marks: Sequence[str]) -> str:
    """The text without these marks, also those that taking out another would make.

    In one pass: of marks nested in each other, searching again after each would take seconds for 128 KiB.
    """
    if not any(mark in text for mark in marks):
        return text
    longest_first = sorted(marks, key=len, reverse=True)
    last = {mark[-1] for mark in marks}
    kept: list[str] = []
    for character in text:
        kept.append(character)
        if character in last:
            tail = "".join(kept[-len(longest_first[0]) :])
            found = next((mark for mark in longest_first if tail.endswith(mark)), None)
            if found:
                del kept[-len(found) :]
    return "".join(kept)
