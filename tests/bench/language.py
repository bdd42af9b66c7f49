"""What the language service takes on this machine: time per RPC, tokens a second, memory, what cache and batches gain.

Run it with `make bench-language`. It starts a mesh of its own without traces. Each text is new to the mesh, so that its
cache has no part in the times, but for the row that shows what it gains.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import grpc.aio
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.local.settings import settings_for
from deploy.local.triton.processes import every_model_process
from maas.nlp.v1 import conversation_pb2, nlp_pb2, nlp_pb2_grpc, summary_pb2, text_pb2, translation_pb2
from services.cli.up import running_mesh

REVIEW = "The acting is superb and the story of case {} stays with you for days."
NEWS = "In case {} Maria Silva of Acme Corp. paid $4.5 million in Lisbon on 3 May 2024."
CHINESE = "第{}号案件：王小明昨天在北京买了一部华为手机，花了三千元。"
PASSAGE = (
    "The library opens at nine on weekdays and at eleven on Saturdays. It is closed on Sundays. Members may borrow "
    "six books for four weeks; a reader's card costs twelve euros a year and is free for students. "
)
ARTICLE = (
    "The town council of Millbrook voted on Tuesday to build a new bridge over the Arrow river. The old one, from "
    "1931, was closed to lorries in March after engineers found cracks in two of its pillars. The new bridge will "
    "cost 14 million euros, of which the state pays 9 million. Work begins in September and is to last two years. "
    "Shop owners on Mill Street fear for their trade, because the road will be a detour of six kilometres. Mayor Ana "
    "Torres promised a free bus for the time of the works. A group of citizens had asked for a tunnel instead, but a "
    "study found that it would cost three times as much. "
)


def article(number: int) -> str:
    """A text of seven sentences, each of them new."""
    return ARTICLE.replace(". ", f" (file {number}). ")


Stub = nlp_pb2_grpc.NlpServiceStub
Ask = Callable[[int], Awaitable[object]]


def asks(nlp: Stub) -> dict[str, tuple[int, Ask]]:
    """RPC -> how many rounds it is asked, and how: each time with another text."""

    def call(rpc: str, rounds: int, request: Callable[[int], object]) -> tuple[int, Ask]:
        return rounds, lambda number: getattr(nlp, rpc)(request(number), timeout=300)

    reply = conversation_pb2.GenerateReplyRequest
    said = conversation_pb2.ChatMessage
    passages = [text_pb2.Passage(content=PASSAGE)]
    parameters = conversation_pb2.GenerationParameters(max_tokens=48, temperature=0)
    return {
        "AnalyzeSentiment": call(
            "AnalyzeSentiment", 100, lambda n: nlp_pb2.AnalyzeSentimentRequest(contents=[REVIEW.format(n)])
        ),
        "AnalyzeSentiment, Chinese": call(
            "AnalyzeSentiment", 100, lambda n: nlp_pb2.AnalyzeSentimentRequest(contents=[CHINESE.format(n)])
        ),
        "ClassifyText, 5 labels": call(
            "ClassifyText",
            100,
            lambda n: nlp_pb2.ClassifyTextRequest(
                contents=[NEWS.format(n)], labels=["business", "sport", "health", "travel", "film"]
            ),
        ),
        "ClassifyText, trained": call(
            "ClassifyText", 100, lambda n: nlp_pb2.ClassifyTextRequest(contents=[NEWS.format(n)])
        ),
        "AnalyzeEntities": call(
            "AnalyzeEntities", 100, lambda n: nlp_pb2.AnalyzeEntitiesRequest(contents=[NEWS.format(n)])
        ),
        "AnalyzeEntities, Chinese": call(
            "AnalyzeEntities", 100, lambda n: nlp_pb2.AnalyzeEntitiesRequest(contents=[CHINESE.format(n)])
        ),
        "EmbedText": call("EmbedText", 100, lambda n: nlp_pb2.EmbedTextRequest(contents=[REVIEW.format(n)])),
        "AnnotateText, 4 features": call(
            "AnnotateText",
            50,
            lambda n: nlp_pb2.AnnotateTextRequest(contents=[NEWS.format(n)], features=[1, 2, 3, 4]),
        ),
        "TranslateText en>pt": call(
            "TranslateText",
            30,
            lambda n: translation_pb2.TranslateTextRequest(contents=[REVIEW.format(n)], target_language_code="pt"),
        ),
        "TranslateText en>zh": call(
            "TranslateText",
            5,
            lambda n: translation_pb2.TranslateTextRequest(contents=[REVIEW.format(n)], target_language_code="zh"),
        ),
        "SummarizeText, extractive": call(
            "SummarizeText",
            20,
            lambda n: summary_pb2.SummarizeTextRequest(
                contents=[article(n)],
                options=summary_pb2.SummaryOptions(method=summary_pb2.SUMMARY_METHOD_EXTRACTIVE),
            ),
        ),
        "SummarizeText, abstractive": call(
            "SummarizeText", 3, lambda n: summary_pb2.SummarizeTextRequest(contents=[article(n)])
        ),
        "AnswerQuestion": call(
            "AnswerQuestion",
            5,
            lambda n: conversation_pb2.AnswerQuestionRequest(
                questions=[f"What does a reader's card cost? (Question {n})"], passages=passages
            ),
        ),
        "GenerateReply, 48 tokens": call(
            "GenerateReply",
            5,
            lambda n: reply(
                messages=[said(role=conversation_pb2.ROLE_USER, content=f"Tell me a story about {n} trees.")],
                parameters=parameters,
            ),
        ),
    }


async def seconds(ask: Ask, number: int) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    await ask(number)
    return time.perf_counter() - began


async def latencies(nlp: Stub, numbers: Iterator[int]) -> Table:
    """p50 and p95 of each RPC, one caller."""
    table = Table(title="One caller, each text new (ms)")
    for column in ("RPC", "calls", "p50", "p95"):
        table.add_column(column, justify="left" if column == "RPC" else "right", no_wrap=True)
    for name, (rounds, ask) in asks(nlp).items():
        try:
            await seconds(ask, next(numbers))
            times = sorted([await seconds(ask, next(numbers)) * 1000 for _ in range(rounds)])
        except grpc.aio.AioRpcError as error:
            table.add_row(name, "0", "-", error.code().name)
            continue
        p95 = times[min(len(times) - 1, round(len(times) * 0.95))]
        table.add_row(name, str(rounds), f"{statistics.median(times):.1f}", f"{p95:.1f}")
    return table


async def one_generation(nlp: Stub, number: int, tokens: int) -> tuple[float, float, int]:
    """Seconds to the first piece, seconds in all, tokens written."""
    request = conversation_pb2.StreamGenerateReplyRequest(
        request=conversation_pb2.GenerateReplyRequest(
            messages=[
                conversation_pb2.ChatMessage(
                    role=conversation_pb2.ROLE_USER, content=f"Write a long story about {number} ships and their crews."
                )
            ],
            parameters=conversation_pb2.GenerationParameters(max_tokens=tokens, temperature=0),
        )
    )
    began, first, written = time.perf_counter(), 0.0, 0
    async for answer in nlp.StreamGenerateReply(request, timeout=300):
        first = first or time.perf_counter() - began
        if answer.WhichOneof("event") == "response":
            written = answer.response.usage.output_tokens
    return first, time.perf_counter() - began, written


async def generation(nlp: Stub, numbers: Iterator[int], tokens: int = 96) -> Table:
    """Time to the first token and tokens a second, alone and four at once."""
    table = Table(title=f"StreamGenerateReply, {tokens} tokens")
    for column in ("at once", "first piece, median", "slowest", "tokens/s each", "tokens/s in all"):
        table.add_column(column, justify="right")
    await one_generation(nlp, next(numbers), 8)
    for at_once in (1, 4):
        began = time.perf_counter()
        runs = await asyncio.gather(*(one_generation(nlp, next(numbers), tokens) for _ in range(at_once)))
        whole = time.perf_counter() - began
        firsts = [first for first, _, _ in runs]
        each = [(written - 1) / (total - first) for first, total, written in runs]
        table.add_row(
            str(at_once),
            f"{statistics.median(firsts) * 1000:.0f} ms",
            f"{max(firsts) * 1000:.0f} ms",
            f"{statistics.mean(each):.1f}",
            f"{sum(written for _, _, written in runs) / whole:.1f}",
        )
    return table


async def texts_a_second(nlp: Stub, batches: Sequence[Sequence[str]], callers: int) -> float:
    """Texts embedded a second by that many callers, who share the batches."""
    waiting = iter(batches)

    async def caller() -> None:
        for batch in waiting:
            await nlp.EmbedText(nlp_pb2.EmbedTextRequest(contents=batch), timeout=300)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return sum(map(len, batches)) / (time.perf_counter() - began)


async def throughput(nlp: Stub, numbers: Iterator[int], count: int = 256) -> Table:
    """What batches, callers at once and the cache gain."""

    def batches(size: int) -> list[list[str]]:
        return [[REVIEW.format(next(numbers)) for _ in range(size)] for _ in range(count // size)]

    table = Table(title="EmbedText, texts a second")
    table.add_column("how")
    table.add_column("texts/s", justify="right")
    table.add_column("of the first", justify="right")
    known = batches(1)
    first = await texts_a_second(nlp, known, 1)
    rows = {
        "1 caller, 1 text a call": first,
        "8 callers, 1 text a call": await texts_a_second(nlp, batches(1), 8),
        "1 caller, 32 texts a call": await texts_a_second(nlp, batches(32), 1),
        "4 callers, 32 texts a call": await texts_a_second(nlp, batches(32), 4),
        "1 caller, 1 text a call, all in the cache": await texts_a_second(nlp, known, 1),
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:.0f}", f"{value / first:.2f}")
    return table


def memory() -> Table:
    """What each model's processes hold (proportional set size: shared pages are divided among those that share)."""
    table = Table(title="Memory of model processes")
    for column in ("model", "processes", "MiB"):
        table.add_column(column, justify="left" if column == "model" else "right")
    found: dict[str, list[float]] = {}
    for process in every_model_process():
        found.setdefault(process.model, []).append(process.proportional_bytes() / 2**20)
    for model, sizes in sorted(found.items(), key=lambda item: -sum(item[1])):
        table.add_row(model, str(len(sizes)), f"{sum(sizes):.0f}")
    return table


async def measure(port: int) -> list[Table]:
    """Everything, on a running mesh."""
    numbers = itertools.count(1000)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        nlp = nlp_pb2_grpc.NlpServiceStub(channel)
        return [
            await latencies(nlp, numbers),
            await generation(nlp, numbers),
            await throughput(nlp, numbers),
            memory(),
        ]


def main(port: int = 8200) -> None:
    """Start a mesh without traces, and measure it."""
    settings = settings_for(port)
    with running_mesh(settings, threading.Event()):
        tables = uvloop.run(measure(settings.ports.gateway))
    Console().print(*tables, sep="\n")


if __name__ == "__main__":
    typer.run(main)
