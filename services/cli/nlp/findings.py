"""What was found about texts, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.rpc.status_pb2 import Status
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1.text_pb2 import TokenUsage
from services.cli.output import bar, excerpt, table

_STYLES = {pb.SENTIMENT_POSITIVE: "green", pb.SENTIMENT_NEGATIVE: "red"}
_ENTITY_STYLES = {
    pb.ENTITY_TYPE_PERSON: "magenta",
    pb.ENTITY_TYPE_LOCATION: "green",
    pb.ENTITY_TYPE_ORGANIZATION: "cyan",
    pb.ENTITY_TYPE_DATE: "yellow",
    pb.ENTITY_TYPE_TIME: "yellow",
    pb.ENTITY_TYPE_MONEY: "blue",
}
_CUT = "  (only its beginning was read)"


def failed(status: Status, content: str) -> Text:
    """Why one text of several has no result."""
    return Text.assemble((f"failed: {status.message}", "red"), f" ({excerpt(content, 40)!r})" if content else "")


def usage(tokens: TokenUsage) -> str:
    """What a language model read and wrote."""
    return f"{tokens.input_tokens} tokens read, {tokens.output_tokens} written"


def sentiments(contents: Sequence[str], answer: pb.AnalyzeSentimentResponse) -> Table:
    """A line a text: what it says, from -1 to 1, and the text; a line a sentence, if they were judged."""
    made = table("sentiment", "score", "text", right="score")
    for content, result in zip(contents, answer.results, strict=False):
        if result.HasField("status"):
            made.add_row("", "", failed(result.status, content))
            continue
        cut = _CUT if result.truncated else ""
        feeling = f"  (magnitude {result.magnitude:.1f})" if result.sentences else ""
        made.add_row(_feeling(result), f"{result.score:+.2f}", excerpt(content) + cut + feeling)
        for sentence in result.sentences:
            text = Text(f"  {excerpt(sentence.span.content)}", "dim")
            made.add_row(_feeling(sentence), f"{sentence.score:+.2f}", text)
    return made


def classes(contents: Sequence[str], answer: pb.ClassifyTextResponse) -> Table:
    """A line a label, the likeliest of each text first and beside it the text."""
    made = table("score", "", "label", "text", right="score")
    for content, result in zip(contents, answer.results, strict=False):
        if result.HasField("status"):
            made.add_row("", "", "", failed(result.status, content))
            continue
        told = excerpt(content) + (_CUT if result.truncated else "")
        for label in result.labels:
            made.add_row(f"{label.score:.2f}", bar(label.score, 10), label.label, told)
            told = ""
        if not result.labels:
            made.add_row("", "", Text("none", "dim"), told)
    return made


def names(contents: Sequence[str], answer: pb.AnalyzeEntitiesResponse) -> RenderableType:
    """Each text with what it names in brackets, and a line for each name."""
    parts: list[RenderableType] = []
    for content, result in zip(contents, answer.results, strict=False):
        if result.HasField("status"):
            parts += [failed(result.status, content), ""]
            continue
        parts.append(bracketed(content, result.entities))
        if not result.model:
            parts.append(Text("(no model here knows this language: only addresses and numbers are found)", "yellow"))
        parts += [Padding(_name_table(result.entities), (0, 0, 0, 2), expand=False), ""] if result.entities else [""]
    return Group(*parts[:-1])


def _name_table(entities: Iterable[pb.Entity]) -> Table:
    made = table("kind", "from", "to", "score", "words", right="from to score")
    for entity in entities:
        score = f"{entity.score:.2f}" if entity.HasField("score") else ""
        span = entity.span
        made.add_row(_entity_kind(entity), str(span.begin_offset), str(span.end_offset), score, span.content)
    return made


def bracketed(content: str, entities: Iterable[pb.Entity]) -> Text:
    """The text with each entity as "[Ada Lovelace person]". Offsets are in code points, as the CLI asks for them."""
    made, done = Text(), 0
    for entity in entities:
        begin, end = entity.span.begin_offset, entity.span.end_offset
        style = _ENTITY_STYLES.get(entity.type, "bold")
        made.append(content[done:begin]).append(f"[{content[begin:end]}", style)
        made.append(f" {_entity_kind(entity)}", f"dim {style}").append("]", style)
        done = end
    return made.append(content[done:].rstrip("\n"))


def similarities(contents: Sequence[str], answer: pb.EmbedTextResponse) -> Table:
    """A line a text: its similarity to each text. Of a single text: its vector's first numbers."""
    vectors = [list(result.values) for result in answer.results]
    if len(vectors) == 1 and vectors[0]:
        made = table("dimension", "first_values", "text", right="dimension")
        made.add_row(str(answer.dimension), _first(vectors[0]), excerpt(contents[0]))
        return made
    numbers = [f"~{number}" for number in range(1, len(vectors) + 1)]
    made = table("#", *numbers, "", "text", right=f"# {' '.join(numbers)}")
    for number, (content, vector, result) in enumerate(zip(contents, vectors, answer.results, strict=False), 1):
        alike = [sum(a * b for a, b in zip(vector, other, strict=False)) for other in vectors]
        others = [value for position, value in enumerate(alike, 1) if position != number]
        text = failed(result.status, content) if result.HasField("status") else excerpt(content)
        made.add_row(str(number), *[f"{value:.2f}" for value in alike], bar(max(others, default=0), 8), text)
    return made


def everything(contents: Sequence[str], answer: pb.AnnotateTextResponse) -> RenderableType:
    """Each text with what it names in brackets, and below it a line for each other feature."""
    parts: list[RenderableType] = []
    for content, result in zip(contents, answer.results, strict=False):
        if result.HasField("status"):
            parts += [failed(result.status, content), ""]
            continue
        named = result.entities.entities
        parts.append(bracketed(content, named) if named else Text(content.rstrip("\n")))
        parts += [Padding(_features(result), (0, 0, 0, 2), expand=False), ""]
    return Group(*parts[:-1])


def _features(result: pb.TextAnnotation) -> Table:
    made = table("", "")
    made.show_header = False
    made.add_row("language", result.language_code or "could not be told")
    if result.HasField("sentiment"):
        judged = result.sentiment
        told = Text.assemble(_feeling(judged), f" {judged.score:+.2f}")
        made.add_row("sentiment", _or_fault(judged.status, told))
        for sentence in judged.sentences:
            text = Text(excerpt(sentence.span.content), "dim")
            made.add_row("", Text.assemble(_feeling(sentence), f" {sentence.score:+.2f}  ", text))
    if result.HasField("classification"):
        labels = ", ".join(f"{each.label} {each.score:.2f}" for each in result.classification.labels)
        made.add_row("subject", _or_fault(result.classification.status, labels or "none"))
    if result.HasField("entities"):
        kinds = ", ".join(f"{each.span.content} ({_entity_kind(each)})" for each in result.entities.entities)
        made.add_row("names", _or_fault(result.entities.status, kinds or "none"))
    if result.HasField("embedding"):
        made.add_row("embedding", _or_fault(result.embedding.status, _first(result.embedding.values)))
    return made


def _or_fault(status: Status, told: str | Text) -> str | Text:
    """A feature's finding, unless it failed."""
    return failed(status, "") if status.code else told


def _feeling(result: pb.SentimentResult | pb.SentenceSentiment) -> Text:
    name = pb.Sentiment.Name(result.sentiment).removeprefix("SENTIMENT_").lower()
    return Text(name, _STYLES.get(result.sentiment, ""))


def _entity_kind(entity: pb.Entity) -> str:
    return pb.EntityType.Name(entity.type).removeprefix("ENTITY_TYPE_").lower().replace("_", " ")


def _first(vector: Sequence[float]) -> str:
    return " ".join(f"{value:+.3f}" for value in vector[:5]) + " ..."
