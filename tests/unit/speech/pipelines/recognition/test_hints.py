"""What phrases may be hinted."""

import pytest

from services.mesh import errors
from services.speech.pipelines.recognition.hints import checked_hints


def test_phrases_lose_the_white_space_around_them():
    """Names of several words and of any writing are taken."""
    assert checked_hints([" John Dashwood", "上海 "]) == ("John Dashwood", "上海")


@pytest.mark.parametrize(
    ("hints", "words"),
    [
        (["a"] * 101, ("phrase_hints", "100", "101")),
        (["good", " "], ("phrase_hints[1]", "1 to 100")),
        (["é" * 51], ("phrase_hints[0]", "102")),
        (["one\ntwo"], ("phrase_hints[0]", "line breaks")),
        (["one\x00two"], ("phrase_hints[0]", "control")),
        (["x" * 100] * 11, ("phrase_hints", "1000", "1100")),
    ],
)
def test_limits_are_named(hints, words):
    """Each limit has an error that names the phrase, the limit and what came, but not the phrase's text."""
    with pytest.raises(errors.InvalidArgument) as caught:
        checked_hints(hints)
    assert all(word in str(caught.value) for word in words)
