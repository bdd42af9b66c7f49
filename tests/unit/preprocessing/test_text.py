"""Cleaning text: what goes, what stays, and the forms."""

import unicodedata

import numpy as np
import pytest

from services.preprocessing.pipelines.text import normalize


def clean(text, form="NFC", *, fold_case=False, keep_line_breaks=False):
    return normalize(text, form=form, fold_case=fold_case, keep_line_breaks=keep_line_breaks)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("  two \t words\u00a0\u3000here ", "two words here"),
        ("a\r\nb\u2028c\x85d", "a b c d"),
        (" \n\t ", ""),
        ("nul\0l b\x07ell \x1b[31mred\x7f", "null bell [31mred"),
        ("\ufeffb\u200bo\u2060m\u00ad", "bom"),
        ("\u202egpj.exe\u202c \u2066x\u2069", "gpj.exe x"),
        ("in\u200cvisi\u200dble", "invisible"),
        ("e\u200b\u0301", "\u00e9"),
        ("tag\U000e0068\U000e0069ged", "tagged"),
        ("\u200d\u200c\u200d", ""),
    ],
)
def test_what_goes(given, wanted):
    """Control, zero-width and direction characters go, and each run of white space is one blank."""
    assert clean(given) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian "I want": without the joiner another word
        "\u0915\u094d\u200d\u0937",  # Hindi, half form of ka
        "\u0d28\u0d4d\u200d",  # Malayalam chillu at the end of a word
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # family
        "\U0001f469\U0001f3fd\u200d\U0001f680",  # astronaut with a skin tone
        "\u2764\ufe0f\u200d\U0001f525",  # heart on fire
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # flag of Scotland
        "\U0001f1eb\U0001f1f7",  # flag of France
    ],
)
def test_what_stays(text):
    """Joiners and tags stay where they carry meaning: in Persian and Indic words and inside one emoji."""
    assert clean(text) == text


def test_forms():
    """NFC composes; NFKC replaces compatibility characters too."""
    assert clean("e\u0301 \uff21\ufb01\u2460") == "\u00e9 \uff21\ufb01\u2460"
    assert clean("e\u0301 \uff21\ufb01\u2460", "NFKC") == "\u00e9 Afi1"


def test_case():
    """Case is folded in full, and the answer is in its form all the same."""
    assert clean("Stra\u00dfe \u0130", fold_case=True) == "strasse i\u0307"
    assert unicodedata.is_normalized("NFC", clean("\u0390\u1fd3\u01f0", fold_case=True))


def test_line_breaks():
    """Line breaks of every kind are kept on request, without blanks around them or at the ends."""
    assert clean("\n one \r\n  two\t \u2028\x0bthree \r ", keep_line_breaks=True) == "one\ntwo\n\nthree"


def test_cleaning_twice_changes_nothing():
    """Whatever comes in, a cleaned text is clean, in its form, and free of control characters."""
    generator = np.random.default_rng(19)
    alphabet = [chr(code) for code in generator.integers(0x20, 0x3000, size=300)]
    alphabet += list("\0\t\n\r \u200b\u200c\u200d\u200e\u2060\ufeff\ufe0f\u0301\u0645\u0915\u094d\u2764")
    alphabet += list("\U0001f469\U0001f3f4")
    alphabet += list("\U000e0067\U000e007f\ufdfa\ufe70\u1100\u1161")
    for form in ("NFC", "NFKC"):
        for _ in range(1500):
            text = "".join(generator.choice(alphabet, size=generator.integers(1, 12)))
            once = clean(text, form)
            assert clean(once, form) == once
            assert unicodedata.is_normalized(form, once)
            assert not any(unicodedata.category(each) == "Cc" for each in once)
