"""Cutting sentences while they come, and long ones into parts, with the real rules of preprocessing."""

# ruff: noqa: RUF001 - phonetic letters, and forms of letters that look like others
from __future__ import annotations

import pytest

from services.mesh.deadline import Deadline
from services.mesh.testing import FakePreprocessor
from services.preprocessing.pipelines.sentences import segment
from services.speech.pipelines.synthesis.sentences import MAX_WAITING_BYTES, SentenceCutter, clauses

DEADLINE = Deadline.after(60)


class Rules(FakePreprocessor):
    """Segments as preprocessing does."""

    async def segment(self, texts, *, language_codes, deadline):
        return [segment(text, code) for text, code in zip(texts, language_codes, strict=True)]


async def sentences(text, size, language="en"):
    """The sentences, and how many characters had come when each was given."""
    cutter, found = SentenceCutter(Rules(), language), []
    for begin in range(0, len(text), size):
        found += [(each, begin + size) for each in await cutter.add(text[begin : begin + size], DEADLINE)]
    return found + [(each, None) for each in await cutter.flush(DEADLINE)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_the_same_sentences_however_they_come(size):
    """Titles, decimals, quotes, abbreviations and dots do not end a sentence; what was sent makes no difference."""
    text = 'Dr. Lee paid $3.50, e.g. for tea. He asked: "Is it good?" Well... Yes! See p. 5 for more.'
    assert [each for each, _ in await sentences(text, size)] == [
        "Dr. Lee paid $3.50, e.g. for tea.",
        'He asked: "Is it good?"',
        "Well...",
        "Yes!",
        "See p. 5 for more.",
    ]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_chinese_sentences(size):
    """。！？ end one without white space after it."""
    found = await sentences("你好。今天好吗？很好！再见", size, "zh")
    assert [each for each, _ in found] == ["你好。", "今天好吗？", "很好！", "再见"]


async def test_a_sentence_leaves_before_the_next_one_comes():
    """The white space after it is enough, and in Chinese the full stop."""
    assert (await sentences("It rains. ", 1))[0] == ("It rains.", 10)
    assert (await sentences("下雨了。", 1, "zh"))[0] == ("下雨了。", 4)


async def test_a_line_ends_a_sentence_unless_it_was_wrapped():
    """A short line is one; a long one that goes on in small letters is not."""
    assert [each for each, _ in await sentences("A list\nIts end\n", 1)] == ["A list", "Its end"]
    wrapped = "This line is so long that some program or a person has wrapped it\nand here it ends."
    assert len(await sentences(wrapped, 1)) == 1


async def test_flush_speaks_what_has_come():
    """And the cutter goes on with what comes later."""
    cutter = SentenceCutter(Rules(), "en")
    assert await cutter.add("One moment", DEADLINE) == []
    assert await cutter.flush(DEADLINE) == ["One moment"]
    assert await cutter.flush(DEADLINE) == []
    assert await cutter.add("Next. ", DEADLINE) == ["Next."]


async def test_a_text_without_an_end_is_cut_at_white_space():
    """No more than the limit waits; nothing is lost and no word is cut."""
    text = "word " * 3000
    cutter, found = SentenceCutter(Rules(), "en"), []
    for begin in range(0, len(text), 1000):
        found += await cutter.add(text[begin : begin + 1000], DEADLINE)
        assert len(cutter._waiting.encode()) <= MAX_WAITING_BYTES
    found += await cutter.flush(DEADLINE)
    assert " ".join(found).split() == text.split()


async def test_a_text_without_white_space_is_cut_too():
    """At the limit, between characters."""
    cutter = SentenceCutter(Rules(), "zh")
    found = await cutter.add("好" * 2000, DEADLINE)
    assert found[0] == "好" * (MAX_WAITING_BYTES // 3)
    assert "".join([*found, *await cutter.flush(DEADLINE)]) == "好" * 2000


def test_short_sentences_stay_whole():
    """Not longer than the first part may be."""
    assert clauses("Hello, my friend.", first=40, longest=240) == ["Hello, my friend."]


def test_the_first_part_ends_at_a_clause():
    """And later parts may be longer."""
    text = (
        "When the rain came at last, everybody ran, as fast as they could, into the old and empty house by the river."
    )
    parts = clauses(text, first=40, longest=240)
    assert parts[0] == "When the rain came at last,"
    assert " ".join(parts) == text


def test_a_sentence_without_clauses_is_not_torn_for_speed():
    """Only the longest that the model reads cuts at white space, or anywhere."""
    text = "word " * 20 + "end."
    assert clauses(text, first=20, longest=200) == [text]
    assert all(len(part) <= 50 for part in clauses(text, first=20, longest=50))
    assert clauses("a" * 120, first=50, longest=50) == ["a" * 50, "a" * 50, "a" * 20]


def test_chinese_counts_fourfold():
    """A character sounds as long as four letters."""
    assert clauses("下雨的时候，我们都在家里看书，没有出门。", first=40, longest=40) == [
        "下雨的时候，",
        "我们都在家里看书，",
        "没有出门。",
    ]


def test_mark_up_is_not_cut():
    """A cut that would fall into a word's phonemes falls behind it."""
    marked = "[tomato](/təmˈAT O/)"
    assert (
        marked
        in clauses(f"{'a' * 15} {marked} end", first=25, longest=25)[0]
        + clauses(f"{'a' * 15} {marked} end", first=25, longest=25)[1]
    )
