"""What SSML may say, and what is refused in it."""

# ruff: noqa: RUF001 - phonetic letters, and forms of letters that look like others
from __future__ import annotations

import pytest

from services.mesh import errors
from services.speech.pipelines.synthesis import ssml
from services.speech.pipelines.synthesis.script import Boundary, Pause, Phonemes, SayAs, Words


def spans(inside):
    return list(ssml.parse(f"<speak>{inside}</speak>").spans)


def test_text_and_pauses_keep_their_order():
    """Breaks by time and by strength stand where they were written."""
    assert spans("One<break time='500ms'/>two<break time='1.5s'/>three<break strength='strong'/>") == [
        Words("One"),
        Pause(0.5),
        Words("two"),
        Pause(1.5),
        Words("three"),
        Pause(0.7),
    ]


def test_rates_within_rates_multiply():
    """A word for a rate and a percentage; inside another one it is a part of that."""
    assert spans("<prosody rate='200%'>a<prosody rate='slow'>b</prosody></prosody>c") == [
        Words("a", 2.0),
        Words("b", 1.5),
        Words("c", 1.0),
    ]


def test_paragraphs_and_sentences_end():
    """Both begin and end with a boundary."""
    assert spans("<p><s>a</s></p>") == [
        Boundary(paragraph=True),
        Boundary(),
        Words("a"),
        Boundary(),
        Boundary(paragraph=True),
    ]


def test_marked_words():
    """say-as, sub and phoneme become spans of their own, the phonemes in the models' spelling."""
    assert spans(
        "<say-as interpret-as='date' format='dmy'>5.3.2026</say-as><sub alias='doctor'>Dr</sub>"
        "<phoneme alphabet='ipa' ph='təˈmeɪtoʊ'>tomato</phoneme>"
    ) == [SayAs("5.3.2026", "date", 1.0, "dmy"), Words("doctor"), Phonemes("tomato", "təˈmAtO")]


def test_the_language_of_the_document_is_kept():
    """xml:lang of speak."""
    assert ssml.parse("<speak version='1.1' xml:lang='zh-CN'>你好</speak>").language == "zh-CN"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("<speak><audio src='x'/></speak>", "'audio'"),
        ("<speak><prosody pitch='high'>a</prosody></speak>", "prosody: does not take the attribute 'pitch'"),
        ("<speak><prosody rate='201%'>a</prosody></speak>", "prosody: rate takes"),
        ("<speak><prosody>a</prosody></speak>", "prosody: rate takes"),
        ("<speak><break time='10.1s'/></speak>", "break: time takes"),
        ("<speak><break time='-1s'/></speak>", "break: time takes"),
        ("<speak><break strength='huge'/></speak>", "break: strength takes"),
        ("<speak><break>a</break></speak>", "break: takes no text"),
        ("<speak>" + "<break time='10s'/>" * 13 + "a</speak>", "all breaks together"),
        ("<speak><say-as interpret-as='currency'>a</say-as></speak>", "say-as: interpret-as takes"),
        ("<speak><say-as interpret-as='digits' format='dmy'>1</say-as></speak>", "say-as: format"),
        ("<speak><say-as interpret-as='digits'><s>1</s></say-as></speak>", "say-as: takes no element"),
        ("<speak><sub>a</sub></speak>", "sub: alias"),
        ("<speak><phoneme alphabet='x-sampa' ph='a'>a</phoneme></speak>", "phoneme: alphabet takes ipa"),
        ("<speak><phoneme ph='ʘ'>a</phoneme></speak>", "phoneme: 'ʘ' is no sound"),
        ("<speak><phoneme>a</phoneme></speak>", "phoneme: ph takes"),
        ("<p>a</p>", "'speak' around all"),
        ("<speak><speak>a</speak></speak>", "'speak' around all"),
        ("<speak>" + "<p>" * 16 + "</p>" * 16 + "</speak>", "p: elements may be nested 16 deep"),
        ("<speak>", "no well-formed XML"),
        ("a", "no well-formed XML"),
        ("<speak>&lol;</speak>", "no well-formed XML"),
        ("", "takes 1 to 10000 UTF-8 bytes"),
        ("<speak>" + "a" * 10_000 + "</speak>", "takes 1 to 10000 UTF-8 bytes"),
    ],
)
def test_what_is_refused(document, named):
    """The error names `ssml` and the element or attribute."""
    with pytest.raises(errors.InvalidArgument) as caught:
        ssml.parse(document)
    assert caught.value.violations[0].field == "ssml"
    assert named in caught.value.message


@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE s [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><speak>&b;</speak>",
        "<!DOCTYPE s SYSTEM 'file:///etc/hostname'><speak>a</speak>",
        "<!DOCTYPE s [<!ENTITY x SYSTEM 'http://169.254.169.254/'>]><speak>&x;</speak>",
    ],
)
def test_bombs_and_files(document):
    """A document type is refused before anything in it is read."""
    with pytest.raises(errors.InvalidArgument, match="no document type"):
        ssml.parse(document)
