"""Interim texts that grow."""

from __future__ import annotations

from services.speech.pipelines.live.agreement import Agreement, retracted, words_of


def test_what_two_readings_agree_on_is_stable() -> None:
    """The words on which two readings agree are the beginning that is stable; the last word waits."""
    agreement = Agreement()
    first = agreement.read("the quick brow")
    assert (first.transcript, first.stable_transcript, first.stability) == ("the quick", "", 0.0)
    second = agreement.read("The quick brown fox")
    assert (second.transcript, second.stable_transcript) == ("The quick brown", "The quick")
    assert second.stability == 2 / 3


def test_stable_words_stay() -> None:
    """A reading that hears a stable word differently does not take it back, nor is it shown twice."""
    agreement = Agreement()
    agreement.read("the quick brown fox")
    agreement.read("the quick brown fox jumps")
    third = agreement.read("a quick brown box jumps over it")
    assert third.transcript == "the quick brown fox jumps over"
    assert third.stable_transcript.startswith("the quick brown fox")


def test_case_and_punctuation_do_not_matter() -> None:
    """Readings that differ in nothing but case and punctuation agree."""
    agreement = Agreement()
    agreement.read("hello. world again")
    assert agreement.read("Hello, World! again and").stable_transcript == "Hello, World! again"


def test_chinese_is_compared_by_character() -> None:
    """Writing without spaces agrees character by character, and gets no spaces."""
    agreement = Agreement()
    agreement.read("今天天气")
    found = agreement.read("今天天气很好。")
    assert (found.stable_transcript, found.transcript) == ("今天天气", "今天天气很")


def test_words() -> None:
    """Words carry the space before them and the punctuation after, in mixed writing too."""
    assert words_of(" Hello, world. 你好，GPT") == [" Hello,", " world.", " 你", "好，", "GPT"]
    assert "".join(words_of("a b，c 好 d")) == "a b，c 好 d"


def test_retracted_words() -> None:
    """Words that do not stay where they were shown count, and those after them; growing counts nothing."""
    assert retracted(["the", "the quick", "the quick brown"], "The quick, brown fox.") == 0
    assert retracted(["the quick", "the thick brown"], "the quick brown fox") == 3
    assert retracted(["wrong"], "") == 1
