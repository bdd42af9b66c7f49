"""What live recognition takes on this machine: delays, words taken back, cores, and how many streams it holds.

Run it with `make bench-speech`. It starts a mesh of its own and speaks to it through the gateway, as fast as people do.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
import wave
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import numpy as np
import typer
import uvloop
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from deploy.local.settings import LocalSettings, settings_for
from deploy.local.supervision import Supervisor
from deploy.local.triton.processes import every_model_process
from maas.speech.v1 import live_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc
from maas.type.v1 import media_pb2
from services.cli.up import running_mesh
from services.mesh.durations import to_seconds
from services.speech.pipelines.live.agreement import retracted, words_of

if TYPE_CHECKING:
    from maas.speech.v1.speech_pb2_grpc import SpeechServiceAsyncStub

HERTZ = 16_000
CHUNK = HERTZ // 10
PAUSE_SECONDS = 1.5
RECORDINGS = [f"sensible-{number}.wav" for number in range(1, 6)]
FORMAT = media_pb2.AudioStreamFormat(encoding=media_pb2.AUDIO_STREAM_ENCODING_LINEAR16, sample_rate_hertz=HERTZ)
# One stream begins so long after the other, as speakers do, and so that the load of those before is known.
STAGGER_SECONDS = 2.0
PROCESSES = {"gateway", "speech", "preprocessing"}
MODELS = {"whisper-base", "silero-vad"}


@dataclass
class Heard:
    """What came of one stream; seconds from the beginning of speech, or from its end.

    refused: whether there was no place for it. shown: the interim texts of the utterance that runs. speech_end: when
    the last one ended that is not final yet.
    """

    first_interims: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    words: int = 0
    words_retracted: int = 0
    seconds: float = 0.0
    refused: bool = False
    shown: list[str] = field(default_factory=list)
    speech_end: float | None = None

    def note(self, answer: pb.StreamingRecognizeResponse, now: float) -> None:
        """An answer that came so long after the beginning of the sound."""
        self.lags.append(to_seconds(answer.lag))
        result = answer.result
        if answer.speech_event.type == pb.SPEECH_EVENT_TYPE_SPEECH_END:
            self.speech_end = to_seconds(answer.speech_event.offset)
        elif result.is_final:
            if self.speech_end is not None:
                self.finals.append(now - self.speech_end)
            self.words += len(words_of(result.transcript))
            self.words_retracted += retracted(self.shown, result.transcript)
            self.shown, self.speech_end = [], None
        elif answer.HasField("result"):
            if not self.shown:
                self.first_interims.append(now - to_seconds(result.result_start_offset))
            self.shown.append(result.transcript)


def talk(samples: Path, first: int) -> NDArray[np.int16]:
    """All recordings with pauses between, beginning with that one."""
    sounds = []
    for name in RECORDINGS[first % len(RECORDINGS) :] + RECORDINGS[: first % len(RECORDINGS)]:
        with wave.open(str(samples / name)) as recording:
            if (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) != (HERTZ, 1, 2):
                raise ValueError(f"{name} is not 16 kHz mono LINEAR16")
            sounds.append(np.frombuffer(recording.readframes(recording.getnframes()), np.int16))
        sounds.append(np.zeros(round(PAUSE_SECONDS * HERTZ), np.int16))
    return np.concatenate(sounds)


async def listen(stub: SpeechServiceAsyncStub, sound: NDArray[np.int16], language: str) -> Heard:
    """Speak, and note what comes when."""
    heard, began = Heard(seconds=len(sound) / HERTZ), time.monotonic()
    admitted = asyncio.Event()

    async def requests() -> AsyncIterator[pb.StreamingRecognizeRequest]:
        nonlocal began
        config = pb.StreamingRecognizeConfig(format=FORMAT, interim_results=True, language_code=language)
        yield pb.StreamingRecognizeRequest(config=config)
        await admitted.wait()
        began = time.monotonic()
        for begin in range(0, len(sound), CHUNK):
            await asyncio.sleep(began + (begin + CHUNK) / HERTZ - time.monotonic())
            yield pb.StreamingRecognizeRequest(audio_content=sound[begin : begin + CHUNK].tobytes())

    try:
        async for answer in stub.StreamingRecognize(requests(), timeout=600):
            admitted.set()
            heard.note(answer, time.monotonic() - began)
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        heard.refused = True
    return heard


def cpu_seconds(settings: LocalSettings) -> dict[str, float]:
    """What the processes behind live recognition have taken so far, by name."""
    pids = {
        state.name: state.pid for state in Supervisor(settings.run).states() if state.name in PROCESSES | {"triton"}
    }
    found = {name: _cpu_seconds(pid) for name, pid in pids.items() if pid}
    for process in every_model_process():
        if process.model in MODELS:
            found[process.model] = found.get(process.model, 0.0) + _cpu_seconds(process.pid)
    return found


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def streams(stub: SpeechServiceAsyncStub, samples: Path, count: int) -> list[Heard]:
    """So many at once; each hears another recording first."""

    async def one(index: int) -> Heard:
        await asyncio.sleep(index * STAGGER_SECONDS)
        return await listen(stub, talk(samples, index), "en")

    return await asyncio.gather(*map(one, range(count)))


def _times(seconds: Sequence[float]) -> tuple[str, str]:
    """Median and 95th percentile."""
    if len(seconds) < 2:
        return ("-", "-")
    return f"{statistics.median(seconds):.2f}", f"{statistics.quantiles(seconds, n=20, method='inclusive')[-1]:.2f}"


async def measure(settings: LocalSettings, samples: Path, counts: Sequence[int]) -> list[Table]:
    """One stream, then more, on a running mesh."""
    table = Table(title="Live streams at the speed of speech; seconds")
    columns = "streams", "refused", "first interim p50", "p95", "end of speech to final p50", "p95"
    for column in (*columns, "taken back per 100 words", "largest lag", "cores", "cores a stream"):
        table.add_column(column, justify="right")
    shares = Table(title="Cores by process")
    shares.add_column("streams", justify="right")
    names: list[str] = sorted(PROCESSES | MODELS | {"triton"})
    for name in names:
        shares.add_column(name, justify="right")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.ports.gateway}") as channel:
        stub = speech_pb2_grpc.SpeechServiceStub(channel)
        await streams(stub, samples, 1)
        for count in counts:
            before, began = cpu_seconds(settings), time.monotonic()
            heard = await streams(stub, samples, count)
            took, after = time.monotonic() - began, cpu_seconds(settings)
            let_in = [each for each in heard if not each.refused]
            spent = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in names}
            words = sum(each.words for each in let_in)
            table.add_row(
                str(count),
                str(count - len(let_in)),
                *_times([seconds for each in let_in for seconds in each.first_interims]),
                *_times([seconds for each in let_in for seconds in each.finals]),
                f"{100 * sum(each.words_retracted for each in let_in) / max(1, words):.1f}",
                f"{max(lag for each in let_in for lag in each.lags):.1f}",
                f"{sum(spent.values()) / took:.2f}",
                f"{sum(spent.values()) / sum(each.seconds for each in let_in):.2f}",
            )
            shares.add_row(str(count), *[f"{spent[name] / took:.2f}" for name in names])
    return [table, shares]


def main(port: int = 8200, counts: str = "1,2,3,4,6,8,12") -> None:
    """Start a mesh without traces and measure it. counts: how many streams at once, one after the other."""
    settings = settings_for(port)
    with running_mesh(settings, threading.Event()):
        tables = uvloop.run(measure(settings, settings.build / "samples", [int(each) for each in counts.split(",")]))
    Console().print(*tables, sep="\n")


if __name__ == "__main__":
    typer.run(main)
