"""What the code around Kokoro's network does: phonemes of two languages, parts, voices."""

# ruff: noqa: RUF001 - phonetic letters, and forms of letters that look like others
from __future__ import annotations

import json
from pathlib import Path

import hibari
import numpy as np
import pytest
from hibari.g2p import G2P

from deploy.triton.mandarin import Mandarin, units_in_chinese

# The same signs and numbers as Kokoro's own.
VOCABULARY = json.loads((Path(hibari.__file__).parent / "assets" / "vocab.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mandarin():
    """Mandarin's rules, which take two seconds to load."""
    return Mandarin()


@pytest.fixture(scope="module")
def english():
    """American rules."""
    return G2P()


class Network:
    """Ten samples for each phoneme; keeps what it was given."""

    def __init__(self):
        self.given = []

    def run(self, _, inputs):
        self.given.append(inputs)
        return [np.full(10 * (inputs["tokens"].size - 2), 0.5, np.float32)]


@pytest.fixture
def kokoro(pb_utils, mandarin, english):
    """The model on a network that hums."""
    from deploy.triton.models.kokoro import model  # noqa: PLC0415 - needs the stand-in

    made = model.TritonPythonModel()
    made._session, made._ids, made._longest = Network(), VOCABULARY, 5000
    made._styles = {name: np.arange(510 * 256, dtype=np.float32).reshape(510, 256) for name in ("af_one", "zf_two")}
    made.voices = list(made._styles)
    made._english, made._mandarin = {False: english, True: english}, mandarin
    return made


def phonemes(kokoro, text, language="zh"):
    """As the network gets them."""
    return kokoro._phonemes(text, language, kokoro._english[False])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("10公里", "十公里"),
        ("长5km", "长五公里"),
        ("涨了30%", "涨了百分之三十"),
        ("2026年3月5日", "二零二六年三月五日"),
        ("8:30", "八点半"),
        ("¥300", "三百元"),
        ("$5.50", "五点五美元"),
        ("有1,234,567元", "有一百二十三万四千五百六十七元"),
        ("比分3:2", "比分三比二"),
        ("1/2的人", "二分之一的人"),
        ("😀你好", "你好"),
    ],
)
def test_numbers_in_chinese(kokoro, text, same):
    """Numbers, money, times and units sound as if they were written in words."""
    assert phonemes(kokoro, text).replace(" ", "") == phonemes(kokoro, same).replace(" ", "")


def test_tones_are_marked(mandarin):
    """Each syllable has its tone, and words are apart."""
    assert mandarin("你好，世界。").split() == ["ni↓xau↓,", "ʂɨ↘ʨje↘."]


def test_english_in_chinese(kokoro, english):
    """Latin words are read as English, the characters around them as Chinese, in their order."""
    found = phonemes(kokoro, "我用Python写代码。")
    assert found.index("wo↓") < found.index(english("Python")) < found.index("ɕje↓")


def test_chinese_in_english(kokoro):
    """And the other way round; the numbers are English then."""
    found = phonemes(kokoro, "In 2026 he said 你好.", "en")
    assert found.index("twˈɛnti") < found.index("ni↓xau↓")


def test_given_sounds(kokoro):
    """Marked words keep the sounds that were given."""
    assert "təmˈATO" in phonemes(kokoro, "A [tomato](/təmˈATO/) soup.", "en")


def test_unknown_characters_are_passed_over(mandarin):
    """The rest of the text is spoken."""
    assert mandarin("你\U00030000好").replace(" ", "") == mandarin("你好").replace(" ", "")


def test_units_are_not_taken_out_of_words():
    """Only a number has a unit after it."""
    assert units_in_chinese("Python 3m 的 5kHz2 和 km") == "Python 3米 的 5kHz2 和 km"


def test_a_long_text_is_spoken_in_parts(kokoro):
    """None is longer than the network reads, nothing is lost, and each has the style of its length."""
    text = "The rain fell, and the river rose, " * 30
    audio = kokoro.speak(text, voice="af_one", language="en", rate=1.5)
    lengths = [inputs["tokens"].size - 2 for inputs in kokoro._session.given]
    assert max(lengths) <= 250
    assert len(lengths) > 1
    assert audio.size == 10 * sum(lengths)
    assert [inputs["style"][0, 0] / 256 for inputs in kokoro._session.given] == [length - 1 for length in lengths]
    assert {float(inputs["speed"][0]) for inputs in kokoro._session.given} == {1.5}


@pytest.mark.parametrize("text", ["", "😀", "...", "مرحبا"])
def test_nothing_to_say(kokoro, text):
    """No sound, which the request is told."""
    assert not kokoro.speak(text, voice="zf_two", language="zh", rate=1).size
    assert "nothing that can be spoken" in answer(kokoro, text=text).error.message


def answer(kokoro, *, text="你好", voice="", language="zh", rate=1.0, wanted=("audio",)):
    """Of one request as Triton brings it."""
    from tests.unit.deploy.models.conftest import StubRequest  # noqa: PLC0415 - only here

    texts = {"text": text, "voice": voice, "language": language}
    request = StubRequest(
        list(wanted),
        **{name: np.array([value.encode()], object) for name, value in texts.items()},
        speaking_rate=np.array([rate], np.float32),
    )
    (found,) = kokoro.execute([request])
    return found


def test_a_request_is_answered(kokoro):
    """The first voice is spoken for none; the time is told when it is asked for."""
    found = answer(kokoro, wanted=("audio", "execution_ns"))
    assert found.outputs["audio"].dtype == np.float32
    assert found.outputs["execution_ns"].shape == (2,)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"voice": "bob"}, "af_one, zf_two"), ({"rate": 3}, "0.5 to 2"), ({"text": "a" * 5001}, "at most 5000")],
)
def test_a_request_that_is_wrong(kokoro, wrong, told):
    """Is refused in words for its caller."""
    found = answer(kokoro, **wrong)
    assert told in found.error.message
    assert found.error.code == 3


def test_a_failure_keeps_the_text_to_itself(kokoro):
    """Only its kind is told."""
    kokoro._session = None
    found = answer(kokoro, text="秘密")
    assert found.error.message == "the text could not be spoken (AttributeError)"
