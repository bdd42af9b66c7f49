"""Numbers, words and sentences of texts."""

import pytest

from services.nlp.pipelines.figures import figures, unsupported
from services.nlp.pipelines.prompting import without
from services.nlp.pipelines.words import count_words, estimated_tokens, is_cjk, is_finished, sentences, terms


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,200 people", 1200),
        ("twelve hundred", 1200),
        ("4.20 euros", 4.2),
        ("3.5 million", 3500000),
        ("two million five hundred thousand", 2500000),
        ("twenty-three", 23),
        ("a hundred and five", 105),
        ("50 %", 50),
        ("三百二十人", 320),
        ("一九九八年", 1998),
        ("三万五千", 35000),
        ("十二路", 12),
        ("1.2万", 12000),
        ("3亿", 300000000),
    ],
)
def test_a_number_is_read(text, value):
    """However it is written."""
    (figure,) = figures(text)
    assert value in figure.readings


@pytest.mark.parametrize(
    ("text", "source", "missing"),
    [
        ("1200 came in 1998", "Twelve hundred came in 1998.", []),
        ("1200 came in 1999", "Twelve hundred came in 1998.", ["1999"]),
        ("3 cats", "三只猫", []),
        ("one of them", "some of them", []),
        ("二百六十人", "共有260人", []),
        ("2 million", "2,000,000", []),
    ],
)
def test_numbers_that_a_source_does_not_have(text, source, missing):
    """Are found, whatever way the source writes its own; "one" does not count."""
    assert [text[figure.begin : figure.end] for figure in unsupported(text, source)] == missing


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("One two-three, don't 4.5!", 4), ("青石图书馆 opens", 6), ("🎈 — …", 0)]
)
def test_words_are_counted(text, count):
    """Of Chinese, characters; marks and emoji are none."""
    assert count_words(text) == count


@pytest.mark.parametrize("number", ["9" * 400, "亿" * 400, "1" + "万" * 400, "billion " * 400])
def test_a_number_without_end_is_only_a_very_large_one(number):
    """It is found like any other, and is not one that the source has."""
    assert [figure.begin for figure in unsupported(number, "3 ships")] == [0]


def test_sentences_of_what_a_model_wrote():
    """Abbreviations, initials, decimals and quotations do not end one; the last may be unfinished."""
    text = 'Mr. Smith paid 4.20 euros. "Really?" he asked J. Doe. 你好。再见！And'
    assert [text[begin:end] for begin, end in sentences(text)] == [
        "Mr. Smith paid 4.20 euros.",
        '"Really?" he asked J. Doe.',
        "你好。",
        "再见！",
        "And",
    ]
    assert (is_finished("He left."), is_finished("He left"), is_finished("costs 4.2")) == (True, False, False)


def test_several_marks_are_one_end():
    """Or none, where a small letter follows; they are never split."""
    text = "Well... maybe so. “Yahoo!!!” said he... And left?!"
    assert [text[begin:end] for begin, end in sentences(text)] == [
        "Well... maybe so.",
        "“Yahoo!!!” said he...",
        "And left?!",
    ]


def test_hostile_texts_take_no_time_that_matters():
    """Marks without end are read once; looking at the rest of the text from each would take minutes."""
    assert len(sentences(". " * 50_000)) == 50_000
    assert not is_finished(".)" * 50_000 + "x")
    assert (
        without("<t" * 20_000 + "a" + "ext>" * 20_000, ("<text>", "</text>")) == "<t" * 20_000 + "a" + "ext>" * 20_000
    )
    assert without("<t" * 20_000 + "ext>" * 20_000, ("<text>", "</text>")) == ""


def test_what_carries_meaning():
    """Function words and endings do not count; Chinese is compared by pairs of characters."""
    assert terms("The observatories") == terms("of the observatory's") == {"obser"}
    assert terms("Who is the director?") == {"direc"}
    assert terms("图书馆的停车场") == {"图书", "书馆", "停车", "车场"}


def test_tokens_are_rather_over_than_underestimated():
    """English takes some four characters a token, Chinese less than one token a character."""
    assert 40 <= estimated_tokens("The quick brown fox jumps over the lazy dog. " * 4) <= 80
    assert estimated_tokens("图书馆" * 10) >= 30
    assert (estimated_tokens("7" * 10), estimated_tokens("🎈" * 10)) == (11, 31)
    assert (is_cjk("图书馆A"), is_cjk("A 图"), is_cjk("12")) == (True, True, False)
