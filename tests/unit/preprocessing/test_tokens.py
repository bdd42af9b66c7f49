"""Tokenising: padding, cutting, and unknown tokenizers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from services.mesh import errors
from services.preprocessing.pipelines import contents
from services.preprocessing.pipelines.tokens import Tokenizers

VOCABULARY = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "good": 4, "bad": 5, "film": 6}


def words() -> Tokenizer:
    """A word a token, between [CLS] and [SEP], with a cut and a padding of its own as many files have."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))  # noqa: S106 - a token, no secret
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    return tokenizer


@pytest.fixture
def tokenizers(tmp_path):
    words().save(str(tmp_path / "words.json"))
    return Tokenizers.load(tmp_path)


def test_padding(tokenizers):
    """Texts are padded with 0 on the right to the longest, whatever the file says of padding and length."""
    tokens = tokenizers.encode(["good film", "bad", "good good good film"], tokenizer="words", max_tokens=512)
    assert tokens.input_ids.tolist() == [[2, 4, 6, 3, 0, 0], [2, 5, 3, 0, 0, 0], [2, 4, 4, 4, 6, 3]]
    assert tokens.attention_mask.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]
    assert tokens.input_ids.dtype == tokens.attention_mask.dtype == np.int64
    assert tokens.truncated == (False, False, False)


def test_cutting(tokenizers):
    """A long text is cut and marked, and keeps the special token at its end."""
    tokens = tokenizers.encode(["good bad film", "good bad"], tokenizer="words", max_tokens=4)
    assert tokens.input_ids.tolist() == [[2, 4, 5, 3], [2, 4, 5, 3]]
    assert tokens.truncated == (True, False)
    assert tokenizers.encode(["good"], tokenizer="words", max_tokens=2).input_ids.tolist() == [[2, 3]]


def test_blank_text(tokenizers):
    """A text of white space alone is its special tokens."""
    assert tokenizers.encode([" "], tokenizer="words", max_tokens=8).input_ids.tolist() == [[2, 3]]


def test_threads_do_not_disturb_each_other(tokenizers):
    """Calls with different lengths at the same time each get their own."""
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(
            lambda most: tokenizers.encode(["good " * 50], tokenizer="words", max_tokens=most), list(range(3, 40)) * 8
        )
        assert [tokens.input_ids.shape[1] for tokens in found] == list(range(3, 40)) * 8


@pytest.mark.parametrize("name", ["other", "../words", "words.json", "/etc/passwd"])
def test_unknown_tokenizer(tokenizers, name):
    """An unknown tokenizer is not found, whatever its name looks like, and the error lists those that exist."""
    with pytest.raises(errors.NotFound) as caught:
        tokenizers.encode(["good"], tokenizer=name, max_tokens=8)
    assert caught.value.metadata == {"tokenizer": name, "known": "words"}
    assert caught.value.reason == "TOKENIZER_NOT_FOUND"


def test_no_room_for_special_tokens():
    """A limit below the tokenizer's own special tokens is refused rather than broken."""
    greedy = words()
    greedy.post_processor = processors.TemplateProcessing(
        single="[CLS] [CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(errors.InvalidArgument) as caught:
        Tokenizers({"greedy": greedy}).encode(["good"], tokenizer="greedy", max_tokens=2)
    assert caught.value.violations[0].field == "max_tokens"


def test_a_broken_file_stops_the_start(tmp_path):
    """A file that is no tokenizer is named when the service starts."""
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ValueError, match=r"broken\.json is not a tokenizer"):
        Tokenizers.load(tmp_path)


def test_no_tokenizers(tmp_path):
    """Without a directory there are no tokenizers."""
    assert Tokenizers.load(tmp_path / "absent").names == []


def test_limits_of_texts():
    """The list and each text that breaks a rule are named, all of them at once."""
    assert contents.check(["a", "é"]) == 3
    for texts in ([], ["a"] * 65):
        with pytest.raises(errors.InvalidArgument, match="takes 1 to 64 texts"):
            contents.check(texts)
    with pytest.raises(errors.InvalidArgument) as caught:
        contents.check(["a", "", "é" * 4096, "é" * 4097])
    assert [violation.field for violation in caught.value.violations] == ["contents[1]", "contents[3]"]


def test_limits_of_documents():
    """A document that breaks a rule gets its error in its place; too many bytes in all are a mistake of the list."""
    checked, size = contents.check_documents(["a", "", "\u00e9" * 65_536, "\u00e9" * 65_537])
    assert (checked[0], len(checked[2])) == ("a", 65_536)
    assert [fault.violations[0].field for fault in (checked[1], checked[3])] == ["contents[1]", "contents[3]"]
    assert size == 1 + 131_072 + 131_074
    assert contents.check_documents(["x" * 131_072] * 16)[1] == 2_097_152
    with pytest.raises(errors.InvalidArgument, match="contents: takes 2097152 UTF-8 bytes in all"):
        contents.check_documents(["x" * 131_072] * 16 + ["x"])
    for texts in ([], ["a"] * 65):
        with pytest.raises(errors.InvalidArgument, match="takes 1 to 64 texts"):
            contents.check_documents(texts)
