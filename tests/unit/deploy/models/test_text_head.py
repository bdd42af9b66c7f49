"""A head is trained on some labelled texts and measured on others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from deploy.models.builders import BuildError, Work, text_head
from deploy.models.builders.text_head import Options

CLASSES = {"bad": ["0"], "good": ["1", "2"]}
ROWS = [f"text {number},{number % 2},films" for number in range(400)]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A function that gives the builder files and options; a text's vector tells its number's parity, with noise."""

    def embedded(texts, _work):
        numbers = np.array([int(text.split()[-1]) for text in texts])
        noise = np.random.default_rng(0).normal(size=(len(texts), 3))
        return (noise + np.outer(numbers % 2 * 8, [1, 0, 0])).astype(np.float32)

    monkeypatch.setattr(text_head, "_embedded", embedded)

    def give(files: dict[str, str], texts: list[dict], **options: object) -> Work:
        for name, content in files.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        (tmp_path / "1").mkdir()
        checked = Options.model_validate({"encoder": "packed.bin", "classes": CLASSES, "texts": texts, **options})
        paths = {name: tmp_path / name for name in files}
        return Work(checked, paths, tmp_path / "1", lambda _words: None)

    return give


def held_out(work: Work) -> list[dict[str, str]]:
    return [json.loads(line) for line in (work.folder / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_rest_of_a_table_is_learned(work):
    """About the share that was asked for is held out; on it the accuracy and the calibration are measured."""
    table = "\n".join(["text,label,source", *ROWS, "never 1,0,books", "unknown 3,9,films"])
    job = work({"all.csv": table}, [{"file": "all.csv", "language": "en", "where": {"source": "films"}}])
    metrics = text_head.build(job)
    assert metrics["held_out_accuracy_en"] > 0.97
    assert metrics["held_out_texts_en"] == len(held_out(job)) == pytest.approx(60, abs=25)
    assert metrics["expected_calibration_error_en"] < 0.1
    assert {row["text"].split()[0] for row in held_out(job)} == {"text"}
    assert all(row["label"] == ("good" if int(row["text"].split()[1]) % 2 else "bad") for row in held_out(job))


def test_lines_and_limits(work):
    """Of each file at most so many texts of a class are taken, and those that two files label otherwise are not."""
    bad = "\n".join(f"line {number}" for number in range(0, 100, 2))
    good = "\n".join(["line 0", *(f"line {number}" for number in range(1, 100, 2))])
    texts = [
        {"file": "bad.txt", "language": "zh", "every": "0", "held_out": 0.5, "at_most": 20},
        {"file": "good.txt", "language": "zh", "every": "2", "held_out": 0.5, "at_most": 30},
    ]
    job = work({"bad.txt": bad, "good.txt": good}, texts)
    examples = text_head._examples(job.options, job)
    assert [sum(example.target == target for example in examples) for target in (0, 1)] == [20, 30]
    assert "line 0" not in {example.text for example in examples}
    assert len({example.text for example in examples}) == len(examples)


def test_a_poor_head_is_not_built(work):
    """Below the accuracy that the catalog demands the build fails, and says what was reached."""
    rows = [f"text {number},{number // 2 % 2},films" for number in range(400)]
    texts = [{"file": "all.csv", "language": "en"}]
    with pytest.raises(BuildError, match=r"% of the held-out 'en' texts, expected 90%"):
        text_head.build(work({"all.csv": "\n".join(["text,label,source", *rows])}, texts, least_accuracy={"en": 0.9}))


def test_a_class_without_texts(work):
    """A class that the sources say nothing of is named."""
    texts = [{"file": "bad.txt", "language": "zh", "every": "0"}]
    with pytest.raises(BuildError, match="no text of the class 'good'"):
        text_head.build(work({"bad.txt": "line 2"}, texts))


@pytest.mark.parametrize(
    "texts", [{"file": "a.txt", "language": "en"}, {"file": "a.csv", "language": "en", "every": "1"}]
)
def test_lines_have_one_label_and_tables_have_their_own(texts):
    """`every` belongs to .txt files and to no others."""
    with pytest.raises(ValidationError, match="give it for such a file"):
        text_head.Texts.model_validate(texts)
