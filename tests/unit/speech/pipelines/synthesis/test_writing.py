"""Scripts: what a voice can say."""

from __future__ import annotations

import pytest

from services.speech.pipelines.synthesis.writing import foreign_scripts, is_speakable, seems_chinese, without_foreign


@pytest.mark.parametrize(("text", "scripts"), [
    ("Café π 5 µm — 😀 №1", []),
    ("hello مرحبا", ["arabic"]),
    ("こんにちは 你好", ["han", "hiragana"]),
    ("नमस्ते Привет", ["cyrillic", "devanagari"]),
    ("Αθήνα", ["greek"]),
])  # fmt: skip
def test_foreign_scripts(text, scripts):
    """Letters of other scripts are found; signs, emoji and lone Greek letters are none."""
    assert foreign_scripts(text, {"latin"}) == scripts


def test_what_is_left_without_foreign_words():
    """Only they go."""
    assert without_foreign("Say مرحبا to π and 5 kg.", {"latin"}) == "Say to π and 5 kg."
    assert without_foreign("All of it", {"latin"}) == "All of it"


@pytest.mark.parametrize(
    ("text", "chinese"), [("你好 world", True), ("hello", False), ("東京です", False), ("5", False)]
)
def test_chinese(text, chinese):
    """Chinese characters, and no Japanese ones."""
    assert seems_chinese(text) is chinese


@pytest.mark.parametrize(
    ("text", "speakable"), [("😀😀", False), ("... —", False), ("", False), ("5", True), ("a", True)]
)
def test_speakable(text, speakable):
    """Emoji and punctuation alone make no sound."""
    assert is_speakable(text) is speakable
