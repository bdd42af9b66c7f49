"""Speech synthesis with Kokoro-82M: English and Mandarin text -> 24 kHz audio.

English is put into phonemes by hibari's rules (a port of misaki's), Mandarin by `deploy.triton.mandarin`; one text may
hold both.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
from hibari.g2p import G2P
from numpy.typing import NDArray

from deploy.triton.mandarin import HAN, Mandarin, units_in_chinese
from deploy.triton.speaking import SpeakingModel

# The network could read 510; memory grows with its length (370 MB of it for 8 seconds of sound).
MAX_PHONEMES = 250
# Each voice has one style for each number of phonemes.
STYLE_WIDTH = 256
# A run of Latin words with what stands between them, mark-up included; digits belong to the language around them.
LETTER = "A-Za-z\u00c0-\u024f"
LATIN = re.compile(
    rf"(?:\[[^\]]*\]\(/[^)]*/\)|[{LETTER}]|['’&+#@._ -](?=[A-Za-z\[])|(?<=[{LETTER}])[\d+#.'’-](?=[{LETTER}\d]|\b))+"
)
HAS_LETTER = re.compile(rf"[{LETTER}]")
CLAUSE = re.compile(r"(?<=[,;:.!?—])\s*")


class TritonPythonModel(SpeakingModel):
    """Voices are files of styles beside the weights; the first letter of their names tells what they speak."""

    def load(self, folder: Path, options: dict[str, str]) -> None:
        """Load the network, the voices and the rules of pronunciation. options: threads."""
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = int(options.get("threads", "1"))
        settings.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "kokoro.onnx"), settings, providers=["CPUExecutionProvider"]
        )
        self._ids: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._styles = {
            path.stem: np.fromfile(path, np.float32).reshape(-1, STYLE_WIDTH)
            for path in sorted((folder / "voices").glob("*.bin"))
        }
        self.voices = list(self._styles)
        self._english = {british: G2P(british=british) for british in (False, True)}
        self._mandarin = Mandarin()

    def speak(self, text: str, *, voice: str, language: str, rate: float) -> NDArray[np.float32]:
        """All of it, in as few inferences as the network's length allows."""
        english = self._english[voice.startswith("b")]
        phonemes = self._phonemes(text, language, english)
        parts = [self._audio(part, self._styles[voice], rate) for part in _parts(phonemes)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _phonemes(self, text: str, language: str, english: G2P) -> str:
        """language: of digits and signs; letters and characters tell theirs themselves."""
        if not HAN.search(text) and language != "zh":
            found = english(text)
        else:
            found = ""
            position = 0
            text = units_in_chinese(text) if language == "zh" else text
            for latin in LATIN.finditer(text):
                if not HAS_LETTER.search(latin[0]):
                    continue
                found += self._between(text[position : latin.start()], language, english)
                found += f" {english(latin[0])} "
                position = latin.end()
            found += self._between(text[position:], language, english)
        return re.sub(r" {2,}", " ", "".join(each for each in found if each in self._ids)).strip()

    def _between(self, text: str, language: str, english: G2P) -> str:
        if language == "en" and not HAN.search(text):
            return str(english(text))
        return self._mandarin(text)

    def _audio(self, phonemes: str, styles: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
        ids = [self._ids[each] for each in phonemes]
        (audio,) = self._session.run(
            None,
            {
                "tokens": np.array([[0, *ids, 0]], np.int64),
                "style": styles[min(len(ids), len(styles)) - 1][np.newaxis],
                "speed": np.array([rate], np.float32),
            },
        )
        return np.asarray(audio, np.float32).reshape(-1)


def _parts(phonemes: str) -> list[str]:
    """Parts that the network can read, cut after clauses, else between words, else anywhere."""
    if not re.search(r"\w", phonemes):
        return []
    found = [""]
    for clause in CLAUSE.split(phonemes):
        for word in [clause] if len(clause) <= MAX_PHONEMES else re.split(r"(?<= )", clause):
            for begin in range(0, len(word), MAX_PHONEMES):
                part = word[begin : begin + MAX_PHONEMES]
                joined = f"{found[-1]} {part}" if found[-1] and not found[-1].endswith(" ") else found[-1] + part
                if len(joined) <= MAX_PHONEMES:
                    found[-1] = joined
                else:
                    found.append(part)
    return [each.strip() for each in found if re.search(r"\w", each)]
