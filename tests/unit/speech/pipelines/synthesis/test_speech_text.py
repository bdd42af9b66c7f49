"""How a script reads in words."""

# ruff: noqa: RUF001 - phonetic letters, and forms of letters that look like others
from __future__ import annotations

import pytest

from services.mesh import errors
from services.speech.pipelines.synthesis.script import Pause, Phonemes, SayAs, Script, Words
from services.speech.pipelines.synthesis.speech_text import Saying, plain, render


def said(kind, text, language="en", order=""):
    (item,) = render(Script("ssml", (SayAs(text, kind, 1.0, order),)), language)
    return item.text


@pytest.mark.parametrize(
    ("kind", "text", "order", "spoken"),
    [
        ("characters", "B2.", "", "[B](/bˈi/), two, dot"),
        ("digits", "2 05", "", "two zero five"),
        ("cardinal", "2026", "", "2,026"),
        ("cardinal", "-12", "", "-12"),
        ("ordinal", "3", "", "3rd"),
        ("ordinal", "12", "", "12th"),
        ("ordinal", "1,021", "", "1021st"),
        ("telephone", "+1 (555) 010-99", "", "plus one, five five five, zero one zero, nine nine"),
        ("date", "2026-03-05", "", "March 5th, 2026"),
        ("date", "3/5/2026", "", "March 5th, 2026"),
        ("date", "3/5/2026", "dmy", "May 3rd, 2026"),
        ("date", "03/2026", "", "March 2026"),
        ("date", "5 March 2026", "", "5 March 2026"),
    ],
)
def test_english_say_as(kind, text, order, spoken):
    """Each kind of say-as, dates in several orders."""
    assert said(kind, text, order=order) == spoken


@pytest.mark.parametrize(
    ("kind", "text", "spoken"),
    [
        ("digits", "105", "一零五"),
        ("cardinal", "10", "十"),
        ("cardinal", "110", "一百一十"),
        ("cardinal", "1005", "一千零五"),
        ("cardinal", "100050000", "一亿零五万"),
        ("cardinal", "120340", "十二万零三百四十"),
        ("ordinal", "21", "第二十一"),
        ("telephone", "13812345678", "幺三八，幺二三四，五六七八"),
        ("date", "2026-03-05", "2026年3月5日"),
    ],
)
def test_chinese_say_as(kind, text, spoken):
    """Chinese numerals with their zeros, telephones with 幺."""
    assert said(kind, text, "zh") == spoken


@pytest.mark.parametrize(
    ("kind", "text", "order"),
    [
        ("digits", "1a", ""),
        ("cardinal", "one", ""),
        ("cardinal", "9999999999999", ""),
        ("ordinal", "-1", ""),
        ("telephone", "call me", ""),
        ("date", "2026-13-05", ""),
        ("date", "5/3", "dmy"),
        ("date", "1/2/3/4", ""),
        ("date", "March 5", "md"),
    ],
)
def test_what_does_not_fit(kind, text, order):
    """A say-as that its text is none of is an error that names it."""
    with pytest.raises(errors.InvalidArgument, match=f"say-as: {kind} takes"):
        said(kind, text, order=order)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("See https://example.com/a?b=1.", "See example dot com slash a question mark b equals 1."),
        ("Ask bob.lee@example.org now", "Ask bob dot lee at example dot org now"),
        ("Node.js and 192.168.0.1", "Node dot js and 192 dot 168 dot 0 dot 1"),
        ("It is 3.5. He left, e.g. to the U.S.A. at 5 p.m.", "It is 3.5. He left, e.g. to the U.S.A. at 5 p.m."),
        ("[word](/bˈæd/)", "(word)(/bˈæd/)"),
        ("１２３ Ａ\u200b\u202eb", "123 Ab"),
    ],
)
def test_running_text(text, spoken):
    """Addresses in words, one form of each letter, nothing invisible, and no mark-up of the caller's."""
    assert plain(text, "en") == spoken


def test_addresses_in_chinese():
    """Dots and strokes of an address are read in Chinese, and Chinese punctuation ends it."""
    assert plain("见https://example.com/a。", "zh") == "见example点com斜杠a。"


def test_neighbours_are_joined():
    """What is said at one speed is one text, mark-up included; a pause and another speed divide it."""
    script = Script("ssml", (Words("Say "), Phonemes("to-mato", "tə"), Words("."), Pause(1), Words("x", 2.0)))
    assert render(script, "en") == [Saying("Say [tomato](/tə/).", 1.0), Pause(1), Saying("x", 2.0)]


def test_phonemes_are_for_english():
    """In Chinese they are refused."""
    with pytest.raises(errors.InvalidArgument, match="phoneme: is for English"):
        render(Script("ssml", (Phonemes("x", "tə"),)), "zh")
