"""Languages: what the writing tells, what the model is asked, and what its answer becomes."""

import json

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import DetectedLanguage
from services.mesh.testing import FakeInference, known_models
from services.preprocessing.pipelines.languages import TASK, UNKNOWN, LanguageIdentifier, by_writing

LID = ModelCard(name="lid", task=TASK, summary="", max_batch_size=2)
ENGLISH = [["en", 0.75], ["pt", 0.125], ["zh", 0.0625], ["de", 0.0625]]


def answering(*candidates):
    """A model that says the same of every text."""
    said = json.dumps(candidates).encode()
    return FakeInference(lambda _, inputs: {"languages": np.full(inputs["text"].shape, said, np.object_)})


async def complete(inference, read, model=""):
    identifier = LanguageIdentifier(inference, await known_models(LID))
    return await identifier.complete(read, model, Deadline.after(10))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("今天天气很好，我们去公园吧。", "zh"),
        ("繁體中文的句子在這裡", "zh"),
        ("我哋今日去邊度食飯", "zh"),
        ("注意！！！ 12 \U0001f600", "zh"),
        ("今日は天気がいいです。", "ja"),
        ("カメラ", "ja"),
        ("ﾃｽﾄ", "ja"),
        ("안녕하세요 大韓民國", "ko"),
        ("我的iPhone坏了", "zh"),
        ("https://example.com/a/very/long/address/indeed.html请看", "zh"),
        (
            "他说「ありがとう」之后就马上离开了那个地方，再也没有人见过他，也没有人知道他去了哪里，过着什么样的生活。",
            "zh",
        ),
    ],
)
def test_what_the_writing_tells(text, code):
    """Chinese characters alone are Chinese, kana Japanese, Hangul Korean; a quoted word does not change that."""
    assert by_writing(text).language_code == code


def test_confidence_of_the_writing():
    """It is the share of that writing in the text; of few Chinese characters some is left for Japanese."""
    assert by_writing("こんにちは") == DetectedLanguage("ja", 1.0)
    assert by_writing("안녕 abc") == DetectedLanguage("ko", pytest.approx(6 / 9))
    single, phrase, sentence = map(by_writing, ("好", "東京大学", "今天天气很好我们去公园"))
    assert single.confidence == pytest.approx(2 / 3)
    assert single.alternatives == (("ja", pytest.approx(1 / 3)),)
    assert phrase.confidence == pytest.approx(16 / 17)
    assert sentence == DetectedLanguage("zh", pytest.approx(1, abs=1e-3))


@pytest.mark.parametrize(
    "text",
    ["12,345.67 + 8%", "\U0001f44d\U0001f3fd\u200d\U0001f525", " \n\t", "?!…", "https://example.com", "a@b.org", "\0"],
)
def test_nothing_to_tell(text):
    """Digits, emoji, marks, white space and addresses have no language."""
    assert by_writing(text) == UNKNOWN == DetectedLanguage("", 0.0)


def test_what_the_model_reads():
    """It reads the beginning, without addresses and marks, and without the few characters of another writing."""
    assert by_writing("Please call 王小明 tomorrow, me@example.com").split() == ["Please", "call", "tomorrow"]
    assert by_writing("\u00abL'\u00e9t\u00e9\u00bb, peut-\u00eatre?").split() == ["L'\u00e9t\u00e9", "peut-\u00eatre"]
    assert by_writing("word " * 1000) == "word " * 200
    assert by_writing("Привет, мир").split() == ["Привет", "мир"]


async def test_texts_keep_their_places():
    """Batches are as large as the model takes; what is decided and what failed is not sent, and stays in its place."""
    inference = answering(*ENGLISH)
    chinese, fault = DetectedLanguage("zh", 1.0), errors.InvalidArgument.field("contents[2]", "is empty")
    found, model = await complete(inference, ["one", chinese, fault, "two", "three"])
    english = DetectedLanguage("en", 0.75, (("pt", 0.125), ("de", 0.0625)))
    assert (found, model) == ([english, chinese, fault, english, english], "lid")
    assert [inputs["text"].tolist() for _, inputs, _ in inference.calls] == [[[b"one"], [b"two"]], [[b"three"]]]


async def test_no_model_is_needed():
    """When the writing decides every text, nothing is asked, and no model is named."""
    inference = answering()
    assert await complete(inference, [UNKNOWN]) == ([UNKNOWN], "")
    assert not inference.calls


@pytest.mark.parametrize("candidates", [[], [["zh", 0.5], ["yue", 0.25], ["ja", 0.25]]])
async def test_the_model_does_not_know(candidates):
    """No answer, or only languages in whose writing the text is not, is unknown."""
    found, _ = await complete(answering(*candidates), ["hi"])
    assert found == [UNKNOWN]


async def test_at_most_four_alternatives():
    """More are left out."""
    found, _ = await complete(answering(*([code, 0.1] for code in ("en", "de", "fr", "es", "pt", "it"))), ["a"])
    assert [code for code, _ in found[0].alternatives] == ["de", "fr", "es", "pt"]


async def test_models_by_name():
    """A name is looked up even when no model is needed; while none is ready the call may be repeated."""
    with pytest.raises(errors.NotFound) as caught:
        await complete(answering(), [UNKNOWN], "other")
    assert caught.value.metadata["known"] == "lid"
    identifier = LanguageIdentifier(answering(), await known_models(LID, loading=["lid"]))
    with pytest.raises(errors.Unavailable) as caught:
        await identifier.complete(["hello"], "", Deadline.after(10))
    assert caught.value.retry_after_seconds == 2
