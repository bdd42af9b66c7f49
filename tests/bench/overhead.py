"""What the mesh adds to an inference: the same work through the gateway and asked from Triton directly, in one run.

Run it with `make bench`. Both are asked in turn on one connection each, so that noise of the machine hits both alike:
read the ratio, not the milliseconds. "Triton" gets a ready tensor; the mesh gets a JPEG or a sentence and also decodes,
tokenises, checks, traces and logs. Two meshes, one after the other: one whose services ask the preprocessing service,
and one whose services do that work in their own processes.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import grpc.aio
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.local.settings import LocalSettings, settings_for
from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2, vision_pb2_grpc
from services.cli.up import running_mesh
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Array, Target
from services.mesh.preprocessing import RemotePreprocessor, open_preprocessing
from services.mesh.settings import TritonSettings
from services.mesh.triton import TritonInference, open_triton

SENTENCE = "The acting is superb and the story stays with you for days."

Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Pair:
    """One piece of work, asked in two ways."""

    name: str
    through_gateway: Ask
    from_triton: Ask


async def seconds(ask: Ask) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    await ask()
    return time.perf_counter() - began


async def one_at_a_time(pair: Pair, rounds: int) -> tuple[float, float]:
    """Median seconds of a single caller: through the gateway, from Triton. Asked in turn."""
    times = [(await seconds(pair.through_gateway), await seconds(pair.from_triton)) for _ in range(rounds)]
    gateway, triton = zip(*times, strict=True)
    return statistics.median(gateway), statistics.median(triton)


async def many_at_a_time(ask: Ask, callers: int, calls: int) -> float:
    """Calls a second with that many callers, each waiting for its answer before it asks again."""

    async def caller() -> None:
        for _ in range(calls // callers):
            await ask()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return calls // callers * callers / (time.perf_counter() - began)


def direct(triton: TritonInference, card: ModelCard, inputs: Mapping[str, Array], outputs: list[str]) -> Ask:
    """The same inference without the mesh."""
    return lambda: triton.infer(card.name, inputs, outputs, deadline=Deadline.after(60))


async def pairs(
    gateway: grpc.aio.Channel, triton: TritonInference, preprocessor: RemotePreprocessor, photo: bytes
) -> list[Pair]:
    """What is measured."""
    cards, _ = await triton.list_models({})
    defaults = {card.task: card for card in cards.values() if card.default}
    classifier, judge = defaults["image-classification"], defaults["sentiment-analysis"]
    encoder = cards[judge.preprocess["embedding_model"]]
    spec, deadline = classifier.preprocess, Deadline.after(60)
    target = Target(spec["width"], spec["height"], spec["fit"], spec["crop_fraction"])
    [pixels] = await preprocessor.render_image(photo, [target], deadline=deadline)
    tokens = await preprocessor.tokenize(
        [SENTENCE],
        tokenizer=encoder.preprocess["tokenizer"],
        max_tokens=encoder.preprocess["max_tokens"],
        deadline=deadline,
    )
    vision, nlp = vision_pb2_grpc.VisionServiceStub(gateway), nlp_pb2_grpc.NlpServiceStub(gateway)
    classify = vision_pb2.ClassifyImageRequest(image=media_pb2.Image(content=photo))
    # Each call has another text, so that the cache of the service has no part in it.
    numbers = itertools.count()

    def analyse() -> Awaitable[object]:
        text = f"{SENTENCE} {next(numbers)}"
        request = nlp_pb2.AnalyzeSentimentRequest(contents=[text], language_code="en")
        return nlp.AnalyzeSentiment(request, timeout=60)

    async def judged() -> object:
        embedded = await triton.infer(encoder.name, ids, ["embedding"], deadline=Deadline.after(60))
        return await triton.infer(judge.name, embedded, ["probabilities"], deadline=Deadline.after(60))

    ids = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    return [
        Pair(
            "ClassifyImage",
            lambda: vision.ClassifyImage(classify, timeout=60),
            direct(triton, classifier, {"images": pixels.pixels[None]}, ["scores"]),
        ),
        Pair("AnalyzeSentiment", analyse, judged),
    ]


async def measure(settings: LocalSettings, photo: bytes, rounds: int, callers: int) -> Table:
    """Both pieces of work, alone and under load."""
    ports = settings.ports
    table = Table(
        title=f"Through the gateway, preprocessing {settings.preprocessing}, beside Triton alone;\n"
        f"{rounds} rounds, then {callers} callers at once"
    )
    for column in ("", "p50 mesh", "p50 Triton", "ratio", "mesh/s", "Triton/s", "ratio"):
        table.add_column(column, justify="right", no_wrap=not column)
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{ports.gateway}") as gateway,
        open_triton(TritonSettings(triton_address=f"127.0.0.1:{ports.triton_grpc}")) as triton,
        open_preprocessing(f"127.0.0.1:{ports.preprocessing}") as preprocessor,
    ):
        for pair in await pairs(gateway, triton, preprocessor, photo):
            await one_at_a_time(pair, 20)
            slow, fast = await one_at_a_time(pair, rounds)
            busy = await many_at_a_time(pair.through_gateway, callers, rounds)
            bare = await many_at_a_time(pair.from_triton, callers, rounds)
            table.add_row(
                pair.name,
                f"{slow * 1000:.1f} ms",
                f"{fast * 1000:.1f} ms",
                f"{slow / fast:.2f}",
                f"{busy:.0f}",
                f"{bare:.0f}",
                f"{busy / bare:.2f}",
            )
    return table


def main(port: int = 8200, rounds: int = 200, callers: int = 8) -> None:
    """Start a mesh each way, without traces, and measure it."""
    base = settings_for(port)
    photo = (base.build / "samples" / "people-at-table.jpg").read_bytes()
    tables = []
    for preprocessing in ("remote", "in-process"):
        settings = base.model_copy(update={"preprocessing": preprocessing})
        with running_mesh(settings, threading.Event()):
            tables.append(uvloop.run(measure(settings, photo, rounds, callers)))
    Console().print(*tables, sep="\n")


if __name__ == "__main__":
    typer.run(main)
