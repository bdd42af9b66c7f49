"""`maas nlp translate` and `language-pairs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from maas.nlp.v1 import translation_pb2 as pb
from services.cli.client import connect
from services.cli.nlp.analysis import SERVICE
from services.cli.nlp.findings import failed
from services.cli.nlp.written import print_texts
from services.cli.options import TIMEOUT_SECONDS, WRITING_SECONDS, Address, Json, Model, Timeout
from services.cli.output import bar, errors, show, table, to_json
from services.cli.texts import Files, Texts, read

_ISSUES = {
    pb.TRANSLATION_ISSUE_TYPE_REPAIRED: "was put back; its place may be wrong",
    pb.TRANSLATION_ISSUE_TYPE_LOST: "is missing",
    pb.TRANSLATION_ISSUE_TYPE_GLOSSARY_MISSED: "is in the glossary, and not in the translation",
    pb.TRANSLATION_ISSUE_TYPE_SUSPICIOUS: "looks untranslated, or has an unlikely length",
}


def translate(
    contents: Texts = None,
    *,
    address: Address,
    target: Annotated[
        str, typer.Option("--to", metavar="CODE", help="Into this language; `maas nlp language-pairs` lists them.")
    ],
    files: Files = None,
    source: Annotated[
        str, typer.Option("--from", metavar="CODE", help="From this language. Without it, each text's is detected.")
    ] = "",
    glossary: Annotated[
        list[str] | None,
        typer.Option("--glossary", metavar="TERM=TRANSLATION", help="What a term is called there. Repeat."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="TERM", help="A term that stays as it is. Repeat.")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="The texts are HTML or XML; tags stay as they are.")] = False,
    model: Model = "",
    timeout: Timeout = WRITING_SECONDS,
    as_json: Json = False,
) -> None:
    """Translate texts.

    Standard output has the translations and nothing else.
    Example: maas nlp translate --to zh --keep Acme "Acme is open."
    """
    request = pb.TranslateTextRequest(
        contents=read(contents, files),
        source_language_code=source,
        target_language_code=target,
        model=model,
        glossary=[_term(typed) for typed in glossary or []],
        do_not_translate=keep or [],
        format=pb.TEXT_FORMAT_HTML if html else pb.TEXT_FORMAT_PLAIN,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/TranslateText", request, pb.TranslateTextResponse)
        if as_json:
            print(to_json(answer))
            return
        # Also a text that failed has its line, so that they stay beside those of the source.
        print_texts(
            [result.translated_text.rstrip("\n") for result in answer.results],
            [remarks(text, result, target) for text, result in zip(request.contents, answer.results, strict=False)],
            apart=False,
        )


def language_pairs(
    *,
    address: Address,
    source: Annotated[str, typer.Option("--from", metavar="CODE", help="Only from this language.")] = "",
    target: Annotated[str, typer.Option("--to", metavar="CODE", help="Only into this language.")] = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """List which languages can be translated into which, and how well.

    chrF compares with translations that people made, from 0 to 100.
    """
    request = pb.ListSupportedLanguagePairsRequest(source_language_code=source, target_language_code=target)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/ListSupportedLanguagePairs", request, pb.ListSupportedLanguagePairsResponse)
        show(answer, pairs(answer.pairs), as_json=as_json)
        if not answer.pairs:
            errors().print("no such pair is offered")


def remarks(content: str, result: pb.Translation, target: str) -> list[Text]:
    """What there is to say about one translation: by whom and how good, and in yellow what was not done as asked."""
    if result.HasField("status"):
        return [failed(result.status, content)]
    lines = [
        Text(" ".join([issue.term or "the translation", _ISSUES.get(issue.type, "has a fault")]), "yellow")
        for issue in result.issues
    ]
    way = f"{result.source_language_code or '?'} to {target}"
    if not result.model:
        return [*lines, Text(f"{way}: nothing to translate", "dim")]
    return [*lines, Text(f"{way}, {_quality(result.quality)}, by {result.model}", "dim")]


def pairs(found: Sequence[pb.LanguagePair]) -> Table:
    """A line a pair and model."""
    made = table("from", "to", "quality", "chrF", "", "model", right="chrF")
    for pair in found:
        score = f"{pair.chrf:.0f}" if pair.chrf else ""
        made.add_row(
            pair.source_language_code,
            pair.target_language_code,
            Text(_quality(pair.quality), "green" if pair.quality == pb.TRANSLATION_QUALITY_GOOD else ""),
            score,
            bar(pair.chrf / 100, 10),
            pair.model,
        )
    return made


def _quality(quality: pb.TranslationQuality.ValueType) -> str:
    return pb.TranslationQuality.Name(quality).removeprefix("TRANSLATION_QUALITY_").lower()


def _term(typed: str) -> pb.GlossaryEntry:
    term, equals, translation = typed.partition("=")
    if not (equals and term.strip() and translation.strip()):
        raise typer.BadParameter(f"takes TERM=TRANSLATION, got {typed!r}", param_hint="--glossary")
    return pb.GlossaryEntry(source_term=term.strip(), target_term=translation.strip())
