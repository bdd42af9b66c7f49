"""Commands with PocketSphinx: which path through a network of words a recording is, and how well it fits.

grammar: JSON {"final": state, "arcs": [[from, to, word], ...]}, state 0 first, the word "" for none.
result: {"words": [{"word", "start", "end"}], "confidence": 0..1, "unpronounceable": [word]}; times in seconds; no words
when the recording is no path. Without audio, only the words are looked up and the grammar is made ready.

A search through a network finds something in nearly anything. So the words that were found are aligned with the sound,
phone by phone, by a second search that cannot avoid them, and its scores tell how sure they are.
"""

# ruff: noqa: INP001 - Triton loads this file by its path, not as part of a package
from __future__ import annotations

import json
import math
import re
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pocketsphinx
import triton_python_backend_utils as pb_utils
from hibari.g2p import G2P
from numpy.typing import NDArray

from deploy.triton.runtime import EXECUTION, Stopwatch, check_interpreter, parameters

SAMPLE_RATE_HERTZ = 16_000
FRAMES_A_SECOND = 100
SEARCH = "commands"
# Of PocketSphinx's scores, which are relative to the best phone of each frame: how well the words fit on average, and
# how badly the worst silence does, for speech may hide in it. By logistic regression on 348 synthetic commands, clean
# and with noise, and 276 other utterances with a small and a large grammar.
BIAS, WORDS, SILENCE = 7.396, 0.2841, 0.1002
SHORTEST_SILENCE_FRAMES = 20
SHORTEST_SECONDS = 0.1
# Decoders that are kept, each with its grammar, and the arcs in them: small ones take 6 MB and 30 ms to make, one with
# 8,000 different words 60 MB and seconds.
DECODERS, DECODERS_ARCS = 8, 20_000
WORD = re.compile(r"[a-z']{1,40}")
# The phones of hibari's alphabet in those of the CMU dictionary, which here has no stress.
PHONES = dict(
    re.findall(
        r"(.)=([A-Z]+)",
        "\u0251=AA \u00e6=AE \u028c=AH \u0259=AH \u1d4a=AH \u0250=AH \u0254=AO W=AW I=AY \u025b=EH \u025c=ER "
        "\u025a=ER A=EY \u026a=IH \u1d7b=IH i=IY O=OW Y=OY \u028a=UH u=UW b=B \u02a7=CH d=D \u00f0=DH f=F "
        "\u0261=G h=HH \u02a4=JH k=K l=L m=M n=N \u014b=NG p=P \u0279=R s=S \u0283=SH t=T T=T \u027e=T "
        "\u03b8=TH v=V w=W j=Y z=Z \u0292=ZH \u0294=T",
    )
)


class TritonPythonModel:
    """audio float32[samples] 16 kHz, grammar bytes[1] -> result bytes[1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the dictionary; the weights are inside the package."""
        check_interpreter()
        options = parameters(args)
        self._max_seconds = float(options.get("max_seconds", "30"))
        self._max_arcs = int(options.get("max_arcs", "10000"))
        self.load(Path(pocketsphinx.get_model_path("en-us")))

    def load(self, folder: Path) -> None:
        """folder: with the acoustic model and the dictionary."""
        self._acoustic = folder / "en-us"
        self._dictionary: dict[str, list[str]] = {}
        for line in (folder / "cmudict-en-us.dict").read_text(encoding="utf-8").splitlines():
            word, _, phones = line.partition(" ")
            self._dictionary.setdefault(word.partition("(")[0], []).append(phones.strip())
        self._spelling = G2P(british=False)
        self._decoders: OrderedDict[bytes, tuple[int, pocketsphinx.Decoder]] = OrderedDict()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a failure fails that request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        stopwatch = Stopwatch()
        audio = pb_utils.get_input_tensor_by_name(request, "audio").as_numpy()
        grammar = bytes(pb_utils.get_input_tensor_by_name(request, "grammar").as_numpy()[0])
        if complaint := self._complaint(audio):
            return _failure(complaint, pb_utils.TritonError.INVALID_ARG)
        try:
            result = self.recognize(audio, grammar)
        except ValueError:
            return _failure("the grammar is no network of words", pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # noqa: BLE001 - one request must not take the others along
            return _failure(
                f"the command could not be recognised ({type(error).__name__})", pb_utils.TritonError.INTERNAL
            )
        tensors = [pb_utils.Tensor("result", np.array([json.dumps(result).encode()], np.object_))]
        if EXECUTION in request.requested_output_names():
            tensors.append(pb_utils.Tensor(EXECUTION, stopwatch.read()))
        return pb_utils.InferenceResponse(tensors)

    def _complaint(self, audio: NDArray[Any]) -> str | None:
        """What is wrong with the recording, in words for its caller."""
        seconds = audio.size / SAMPLE_RATE_HERTZ
        if seconds > self._max_seconds:
            return f"the recording lasts {seconds:.0f} seconds, at most {self._max_seconds:.0f} are searched at once"
        if not np.isfinite(audio).all():
            return "the recording holds values that are not numbers"
        return None

    def recognize(self, audio: NDArray[np.float32], grammar: bytes) -> dict[str, Any]:
        """The result. Raises ValueError for a grammar that is none."""
        result: dict[str, Any] = {"words": [], "confidence": 0.0, "unpronounceable": []}
        if grammar not in self._decoders:
            final, arcs = self._network(grammar)
            words = {word for _, _, word in arcs if word}
            pronounced = {word: self._pronunciations(word) for word in words}
            result["unpronounceable"] = sorted(word for word, ways in pronounced.items() if not ways)
            if result["unpronounceable"]:
                return result
            self._keep(grammar, len(arcs), self._decoder(final, arcs, pronounced))
        self._decoders.move_to_end(grammar)
        decoder = self._decoders[grammar][1]
        if audio.size < SHORTEST_SECONDS * SAMPLE_RATE_HERTZ:
            return result
        try:
            return result | _found(decoder, (np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes())
        except Exception:
            del self._decoders[grammar]  # it may be in the middle of an utterance
            raise

    def _keep(self, grammar: bytes, arcs: int, decoder: pocketsphinx.Decoder) -> None:
        kept = self._decoders
        while kept and (len(kept) >= DECODERS or arcs + sum(count for count, _ in kept.values()) > DECODERS_ARCS):
            kept.popitem(last=False)
        kept[grammar] = arcs, decoder

    def _network(self, grammar: bytes) -> tuple[int, list[tuple[int, int, str]]]:
        network = json.loads(grammar)
        try:
            final, arcs = (
                int(network["final"]),
                [(int(begin), int(end), str(word)) for begin, end, word in network["arcs"]],
            )
        except (KeyError, TypeError) as error:
            raise ValueError from error
        states = range(2 * len(arcs) + 2)
        sound = all(
            begin in states and end in states and (not word or WORD.fullmatch(word)) for begin, end, word in arcs
        )
        if not sound or final not in states or not 1 <= len(arcs) <= self._max_arcs:
            raise ValueError
        return final, arcs

    def _pronunciations(self, word: str) -> list[str]:
        """As the dictionary has it, otherwise by rule; none when there is no way to say it."""
        known = self._dictionary.get(word) or self._dictionary.get(word.strip("'"))
        if known:
            return known
        phones = [PHONES[sign] for sign in self._spelling(word) if sign in PHONES]
        # One vowel with an R in it, where hibari writes two signs.
        joined = " ".join(phones).replace("ER R", "ER").replace("AH R", "ER")
        return [joined] if joined else []

    def _decoder(
        self, final: int, arcs: Iterable[tuple[int, int, str]], pronounced: dict[str, list[str]]
    ) -> pocketsphinx.Decoder:
        with tempfile.NamedTemporaryFile("w", suffix=".dict", encoding="utf-8") as dictionary:
            for word, ways in sorted(pronounced.items()):
                for number, phones in enumerate(dict.fromkeys(ways), 1):
                    dictionary.write(f"{word}({number}) {phones}\n" if number > 1 else f"{word} {phones}\n")
            dictionary.flush()
            decoder = pocketsphinx.Decoder(
                hmm=str(self._acoustic),
                dict=dictionary.name,
                lm=None,
                # By this utterance alone, not by those before it.
                cmn="batch",
                loglevel="FATAL",
            )
        transitions = [(begin, end, 1.0, word) if word else (begin, end, 1.0) for begin, end, word in arcs]
        decoder.add_fsg(SEARCH, decoder.create_fsg(SEARCH, 0, final, transitions))
        return decoder


def _found(decoder: pocketsphinx.Decoder, samples: bytes) -> dict[str, Any]:
    decoder.activate_search(SEARCH)
    _hear(decoder, samples)
    if decoder.hyp() is None:
        return {}
    # "of(2)" is the second way to say "of"; what is in angle or square brackets is silence or noise.
    words = [
        {
            "word": each.word.partition("(")[0],
            "start": each.start_frame / FRAMES_A_SECOND,
            "end": (each.end_frame + 1) / FRAMES_A_SECOND,
        }
        for each in decoder.seg()
        if each.word[0] not in "<["
    ]
    if not words:
        return {}
    try:
        return {"words": words, "confidence": _confidence(decoder, " ".join(each["word"] for each in words), samples)}
    except RuntimeError:  # the words cannot be aligned
        return {}


def _hear(decoder: pocketsphinx.Decoder, samples: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def _confidence(decoder: pocketsphinx.Decoder, text: str, samples: bytes) -> float:
    """How sure the words are, by their alignment with the sound. Raises RuntimeError when there is none."""
    decoder.set_align_text(text)
    _hear(decoder, samples)
    decoder.set_alignment()
    # Asking for a hypothesis or segments after this search would crash the process.
    _hear(decoder, samples)
    score, frames, silence = 0.0, 0, 0.0
    for word in decoder.get_alignment():
        if word.name[0] in "<[":
            silence = min(silence, word.score / max(word.duration, SHORTEST_SILENCE_FRAMES))
        else:
            score += word.score
            frames += word.duration
    if not frames:
        return 0.0
    return round(1 / (1 + math.exp(-(BIAS + WORDS * score / frames + SILENCE * silence))), 4)


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
