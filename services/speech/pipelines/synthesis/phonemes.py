"""The International Phonetic Alphabet in the spelling that the English voices were trained with (misaki's)."""

# ruff: noqa: RUF001 - phonetic letters look like others
from __future__ import annotations

from services.mesh import errors

MAX_CHARACTERS = 100
# What the models' spelling has one letter for, or another letter; longest first, so that diphthongs come before vowels.
_SPELLING = {
    "t\u0361ʃ": "ʧ", "d\u0361ʒ": "ʤ", "tʃ": "ʧ", "dʒ": "ʤ",
    "eɪ": "A", "aɪ": "I", "aʊ": "W", "ɔɪ": "Y", "oʊ": "O", "əʊ": "Q",
    "ɝː": "ɜɹ", "ɝ": "ɜɹ", "ɚ": "əɹ", "əl": "ᵊl", "ɾ": "T", "r": "ɹ", "g": "ɡ", "ɫ": "l", "'": "ˈ",
    "ʰ": "", "\u0329": "", ".": "", "\u0361": "", "\u203f": " ", "e": "ɛ", "o": "ɔ", "a": "æ",
}  # fmt: skip
# The names of the letters, as spelling says them.
LETTERS = {
    "A": "ˈA", "B": "bˈi", "C": "sˈi", "D": "dˈi", "E": "ˈi", "F": "ˈɛf", "G": "ʤˈi", "H": "ˈAʧ", "I": "ˈI",
    "J": "ʤˈA", "K": "kˈA", "L": "ˈɛl", "M": "ˈɛm", "N": "ˈɛn", "O": "ˈO", "P": "pˈi", "Q": "kjˈu", "R": "ˈɑɹ",
    "S": "ˈɛs", "T": "tˈi", "U": "jˈu", "V": "vˈi", "W": "dˈʌbᵊljˌu", "X": "ˈɛks", "Y": "wˈI", "Z": "zˈi",
}  # fmt: skip
_ALPHABET = frozenset("ˈˌː bdfhijklmnpstuvwzæðŋɑɒɐɔəɛɜɡɪɹʃʊʌʒʔʤʧθᵊᵻAIOQTWY")


def to_model_phonemes(ipa: str) -> str:
    """The same sounds as the models spell them.

    Raises InvalidArgument naming `ssml` for an empty or long text, and for a sign that is no sound of English.
    """
    if not ipa.strip() or len(ipa) > MAX_CHARACTERS:
        raise errors.InvalidArgument.field("ssml", f"phoneme: ph takes 1 to {MAX_CHARACTERS} characters of IPA")
    found, position = [], 0
    while position < len(ipa):
        for length in (3, 2, 1):
            sign = ipa[position : position + length]
            spelling = _SPELLING.get(sign, sign if sign in _ALPHABET else None)
            if len(sign) == length and spelling is not None:
                found.append(spelling)
                position += length
                break
        else:
            raise errors.InvalidArgument.field(
                "ssml", f"phoneme: {ipa[position]!r} is no sound of English in IPA, as in həˈloʊ"
            )
    return "".join(found)
