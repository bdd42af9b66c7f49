"""Transcripts as captions."""

import itertools
import re

import pytest

from services.speech.pipelines.recognition.captions import Captions
from services.speech.pipelines.recognition.transcriber import Segment, Word


def spoken(text: str, *, begin: float = 0.0, pace: float = 0.3, words: bool = True) -> Segment:
    """A segment whose words take `pace` seconds each."""
    parts = text.split() if text.isascii() else list(text)
    times = [begin + pace * index for index in range(len(parts) + 1)]
    timed = [
        Word(word=part, start=start, end=end, confidence=1)
        for part, start, end in zip(parts, times, times[1:], strict=False)
    ]
    return Segment(text=text, start=begin, end=times[-1], confidence=1, words=tuple(timed) if words else ())


def cues(file: str) -> list[list[str]]:
    """The lines of each cue's text."""
    return [cue.splitlines()[2:] for cue in file.strip().split("\n\n") if "-->" in cue]


def test_subrip_has_numbers_times_and_lines():
    """A sentence is one cue, with a comma before the milliseconds."""
    assert Captions("srt").render([spoken("Hello there, all of you.", begin=3661.5)]) == (
        "1\n01:01:01,500 --> 01:01:03,000\nHello there, all of you.\n\n"
    )


def test_webvtt_has_a_header_and_escapes():
    """The file begins with its name, and what would be markup is escaped."""
    assert Captions("vtt").render([spoken("One < two & so.")]) == (
        "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.500\nOne &lt; two &amp; so.\n\n"
    )


def test_successive_results_are_one_file():
    """Cues are numbered on, also from an earlier call, and the header comes once."""
    captions = Captions("vtt")
    both = captions.render([spoken("One.")]) + captions.render([spoken("Two.", begin=5)])
    assert (both.count("WEBVTT"), captions.cues) == (1, 2)
    assert Captions("vtt", first_cue=2).render([spoken("Three.")]).startswith("3\n")


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize(
    ("text", "width"),
    [
        (
            "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of it. " * 3,
            42,
        ),
        ("天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。" * 6, 16),
    ],
)
def test_cues_are_as_long_as_can_be_read(text, width, words):
    """Two lines of so many characters and seven seconds at most, every word once and in order."""
    file = Captions("srt").render([spoken(text.strip(), words=words)])
    for lines in cues(file):
        assert len(lines) <= 2
        assert all(0 < len(line) <= width for line in lines)
    times = [
        [sum(int(n) * f for n, f in zip(re.split("[:,]", t), (3600e3, 60e3, 1e3, 1), strict=True)) for t in each]
        for each in re.findall(r"(\S+) --> (\S+)", file)
    ]
    assert all(begin < end <= begin + 7000 for begin, end in times)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))
    assert "".join("".join(cues(file)[i]) for i in range(len(times))).replace(" ", "") == text.replace(" ", "")


def test_cues_end_at_a_pause_or_a_mark():
    """A cue stops after a clause rather than in the middle of the next, and at a pause of a second."""
    long = "This is a rather long beginning of a sentence that goes on, and then it is followed by some more words"
    assert cues(Captions("srt").render([spoken(long)]))[0][-1].endswith("on,")
    first, second = spoken("before the pause"), spoken("and after it", begin=4)
    both = Segment(text="", start=0, end=5, confidence=1, words=first.words + second.words)
    assert cues(Captions("srt").render([both])) == [["before the pause"], ["and after it"]]
