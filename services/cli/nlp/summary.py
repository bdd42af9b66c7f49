"""`maas nlp summarize`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from maas.nlp.v1 import summary_pb2 as pb
from services.cli.client import connect
from services.cli.nlp.analysis import SERVICE
from services.cli.nlp.findings import failed, usage
from services.cli.nlp.written import Stream, print_pieces, print_texts, streams, tell
from services.cli.options import WRITING_SECONDS, Address, Json, Model, Timeout
from services.cli.output import to_json
from services.cli.texts import Files, Language, Texts, read

_KINDS = {pb.CLAIM_TYPE_NUMBER: "number", pb.CLAIM_TYPE_NAME: "name"}
# A share that rounds to less than the whole.
_ALL = 0.995


class Method(StrEnum):
    """How a summary is made."""

    EXTRACTIVE = "extractive"
    ABSTRACTIVE = "abstractive"


class Style(StrEnum):
    """The form of an abstractive summary."""

    PARAGRAPH = "paragraph"
    BULLETS = "bullets"
    HEADLINE = "headline"


def summarize(
    contents: Texts = None,
    *,
    address: Address,
    files: Files = None,
    method: Annotated[
        Method,
        typer.Option(
            metavar="METHOD", help="abstractive: new sentences; extractive: the text's own most telling ones, fast."
        ),
    ] = Method.ABSTRACTIVE,
    style: Annotated[
        Style, typer.Option(metavar="STYLE", help=f"The form, when abstractive: {', '.join(Style)}.")
    ] = Style.PARAGRAPH,
    sentences: Annotated[int, typer.Option(metavar="N", help="At most so many sentences; 0 means 3.")] = 0,
    words: Annotated[int, typer.Option(metavar="N", help="At most so many words; 0 sets no limit.")] = 0,
    language: Language = "",
    stream: Stream = None,
    model: Model = "",
    timeout: Timeout = WRITING_SECONDS,
    as_json: Json = False,
) -> None:
    """Say in a few sentences what texts say in many.

    Standard output has the summaries and nothing else.
    Example: maas nlp summarize --file report.txt --style bullets
    """
    texts = read(contents, files)
    options = pb.SummaryOptions(
        method=pb.SummaryMethod.Value(f"SUMMARY_METHOD_{method.name}"),
        style=pb.SummaryStyle.Value(f"SUMMARY_STYLE_{style.name}"),
        max_sentences=sentences,
        max_words=words,
        language_code=language,
        model=model,
    )
    with connect(address, timeout) as mesh:
        if streams(stream, len(texts), as_json=as_json):
            request = pb.StreamSummarizeTextRequest(content=texts[0], options=options)
            with mesh.stream(f"{SERVICE}/StreamSummarizeText", request, pb.StreamSummarizeTextResponse) as pieces:
                last = print_pieces(pieces, [], as_json=as_json)
            if last and not as_json:
                tell(remarks(texts[0], last.summary))
            return
        batch = pb.SummarizeTextRequest(contents=texts, options=options)
        answer = mesh.call(f"{SERVICE}/SummarizeText", batch, pb.SummarizeTextResponse)
        if as_json:
            print(to_json(answer))
            return
        told = [remarks(text, result) for text, result in zip(texts, answer.results, strict=False)]
        print_texts([result.content for result in answer.results], told)


def remarks(content: str, result: pb.TextSummary) -> list[Text]:
    """What there is to say about one summary: what in it is not to be trusted, what was not met, how it was made."""
    if result.HasField("status"):
        return [failed(result.status, content)]
    claims = [f"{_KINDS.get(claim.type, 'claim')} {claim.span.content!r}" for claim in result.unsupported_claims]
    lines = [Text(f"not in the text, do not trust: {', '.join(claims)}", "yellow")] if claims else []
    lines += [Text(f"{shortfall.field}: {shortfall.description}", "yellow") for shortfall in result.shortfalls]
    told = [f"by {result.model}"]
    if result.parts > 1:
        told.append(f"read in {result.parts} parts")
    if result.read_share < _ALL:
        told.append(f"the model read the most telling {result.read_share:.0%} of the text")
    if result.usage.output_tokens:
        told.append(usage(result.usage))
    return [*lines, Text(" · ".join(told), "dim")]
