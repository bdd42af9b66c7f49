"""`maas nlp`: what texts say and mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from rich.table import Table
from rich.text import Text

from maas.nlp.v1 import nlp_pb2 as pb
from services.cli.client import connect
from services.cli.models import models_table
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Texts, Timeout, lines
from services.cli.output import bar, show, table

app = typer.Typer(no_args_is_help=True, help="What texts say and mean.")
_SERVICE = "maas.nlp.v1.NlpService"
_STYLES = {pb.SENTIMENT_POSITIVE: "green", pb.SENTIMENT_NEGATIVE: "red"}


@app.command()
def sentiment(
    contents: Texts,
    *,
    address: Address,
    language: Annotated[str, typer.Option(metavar="CODE", help="Language of the texts, BCP-47.")] = "",
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell whether texts speak well or badly of their subject."""
    request = pb.AnalyzeSentimentRequest(contents=lines(contents), language_code=language, model=model)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/AnalyzeSentiment", request, pb.AnalyzeSentimentResponse)
        show(answer, sentiments(request.contents, answer), as_json=as_json)


@app.command()
def embed(
    contents: Texts, *, address: Address, model: Model = "", timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False
) -> None:
    """Turn texts into vectors, and tell how alike in meaning they are.

    The table has the cosine similarity of each pair, from -1 to 1; --json has the vectors.
    """
    request = pb.EmbedTextRequest(contents=lines(contents), model=model)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/EmbedText", request, pb.EmbedTextResponse)
        show(answer, similarities(request.contents, answer), as_json=as_json)


@app.command()
def config(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the models of this service."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/GetNlpConfig", pb.GetNlpConfigRequest(), pb.GetNlpConfigResponse)
        show(answer, models_table(answer.models), as_json=as_json)


def sentiments(contents: Sequence[str], answer: pb.AnalyzeSentimentResponse) -> Table:
    """A line a text: what it says, from -1 to 1, and the text."""
    made = table("sentiment", "score", "text", right="score")
    for content, result in zip(contents, answer.results, strict=False):
        if result.HasField("status"):
            made.add_row(Text("failed", "red"), "", _failed(result, result.status, content))
            continue
        name = pb.Sentiment.Name(result.sentiment).removeprefix("SENTIMENT_").lower()
        cut = "  (only its beginning was read)" if result.truncated else ""
        made.add_row(Text(name, _STYLES.get(result.sentiment, "")), f"{result.score:+.2f}", content + cut)
    return made


def similarities(contents: Sequence[str], answer: pb.EmbedTextResponse) -> Table:
    """A line a text: its similarity to each text. Of a single text: its vector's first numbers."""
    vectors = [list(result.values) for result in answer.results]
    if len(vectors) == 1 and vectors[0]:
        made = table("dimension", "first_values", "text", right="dimension")
        first = " ".join(f"{value:+.3f}" for value in vectors[0][:5])
        made.add_row(str(answer.dimension), f"{first} ...", contents[0])
        return made
    numbers = [f"~{number}" for number in range(1, len(vectors) + 1)]
    made = table("#", *numbers, "", "text", right=f"# {' '.join(numbers)}")
    for number, (content, vector, result) in enumerate(zip(contents, vectors, answer.results, strict=False), 1):
        alike = [sum(a * b for a, b in zip(vector, other, strict=False)) for other in vectors]
        others = [value for position, value in enumerate(alike, 1) if position != number]
        text = _failed(result, result.status, content) if result.HasField("status") else content
        made.add_row(str(number), *[f"{value:.2f}" for value in alike], bar(max(others, default=0), 8), text)
    return made


def _failed(result: Message, status: Status, content: str) -> str:
    return f"{status.message} ({content[:40]!r})" if result.HasField("status") else content
