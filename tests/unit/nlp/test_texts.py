"""Batches of texts, offsets and languages: what all RPCs of nlp share."""

import asyncio

import pytest

from maas.nlp.v1 import text_pb2 as pb
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.testing import FakePreprocessor
from services.mesh.together import together
from services.nlp.pipelines.languages import Languages
from services.nlp.pipelines.texts import each, require_count, text_fault
from services.nlp.rpc.spans import Offsets, require_encoding

TEXT = "a你😀é."
UNITS = {
    pb.ENCODING_TYPE_UNSPECIFIED: [0, 1, 2, 3, 4, 5],
    pb.ENCODING_TYPE_UTF32: [0, 1, 2, 3, 4, 5],
    pb.ENCODING_TYPE_UTF16: [0, 1, 2, 4, 5, 6],
    pb.ENCODING_TYPE_UTF8: [0, 1, 4, 8, 10, 11],
}


@pytest.mark.parametrize("encoding", UNITS)
def test_offsets_are_in_the_caller_s_units(encoding):
    """Each code point of a text with Latin, Chinese and emoji stands where its encoding puts it."""
    offsets = Offsets(TEXT, encoding)
    assert [offsets.at(position) for position in range(len(TEXT) + 1)] == UNITS[encoding]
    assert offsets.span(2, 3) == pb.TextSpan(
        content="😀", begin_offset=UNITS[encoding][2], end_offset=UNITS[encoding][3]
    )


def test_offsets_cut_the_encoded_text_into_the_same_part():
    """Slicing the encoded text by the offsets gives the part in that encoding."""
    for encoding, codec, width in ((pb.ENCODING_TYPE_UTF8, "utf-8", 1), (pb.ENCODING_TYPE_UTF16, "utf-16-le", 2)):
        encoded = TEXT.encode(codec)
        for begin in range(len(TEXT)):
            span = Offsets(TEXT, encoding).span(begin, begin + 1)
            part = encoded[span.begin_offset * width : span.end_offset * width]
            assert part.decode(codec) == TEXT[begin]


def test_an_unknown_encoding_is_refused():
    """A value that the contract does not know names the field."""
    with pytest.raises(errors.InvalidArgument) as caught:
        require_encoding(9)
    assert caught.value.violations[0].field == "encoding_type"


async def test_items_are_answered_in_order_and_fail_alone():
    """An item's error stands in its place, and the others have their answers."""

    async def work(index: int, item: int) -> int:
        await asyncio.sleep(0)
        if item == 2:
            raise errors.InvalidArgument.field(f"contents[{index}]", "is wrong")
        return item * 10

    results = await each([3, 2, 1], work, at_once=2)
    assert (results[0], results[2]) == (30, 10)
    assert isinstance(results[1], errors.InvalidArgument)


async def test_no_more_items_are_at_work_than_allowed():
    """With ten items and room for three, three run at the same time."""
    running, most = 0, 0

    async def work(index: int, item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await each(range(10), work, at_once=3)
    assert most == 3


async def test_what_is_not_an_error_of_ours_ends_the_whole():
    """A bug in one work is raised as it is, and the other works are cancelled."""
    cancelled = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def breaks() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await together([waits(), breaks()])
    assert cancelled.is_set()


def test_counts_and_sizes_name_the_field_and_the_limit():
    """Sizes are in UTF-8 bytes: three Chinese characters are nine."""
    with pytest.raises(errors.InvalidArgument) as caught:
        require_count("contents", [], high=64)
    assert caught.value.message == "contents: takes 1 to 64 texts, got 0"
    assert text_fault("x", "你好吗", max_bytes=9) is None
    fault = text_fault("contents[1]", "你好吗", max_bytes=8)
    assert fault is not None
    assert fault.message == "contents[1]: takes 1 to 8 UTF-8 bytes, got 9"


async def test_a_given_language_is_not_detected():
    """The caller's word counts for all texts; otherwise each text is looked at."""
    languages = Languages(FakePreprocessor())
    deadline = Deadline.after(5)
    assert await languages.of(["hello", "你好", "12"], "zh-Hant-TW", deadline) == ["zh", "zh", "zh"]
    assert await languages.of(["hello", "你好", "12"], "", deadline) == ["en", "zh", ""]
