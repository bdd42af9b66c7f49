"""`maas preprocess`: texts."""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.type.v1.tensor_pb2 import Tensor
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Timeout
from services.cli.output import excerpt, show, table
from services.cli.texts import Files, Texts, read

SERVICE = "maas.preprocessing.v1.PreprocessingService"


class Form(StrEnum):
    """Unicode normalisation forms."""

    NFC = "nfc"
    NFKC = "nfkc"


def normalize(
    contents: Texts = None,
    *,
    file: Files = None,
    address: Address,
    form: Annotated[Form, typer.Option(help="Unicode form; nfkc also replaces compatibility characters.")] = Form.NFC,
    fold_case: Annotated[bool, typer.Option("--fold-case", help="Lower the case.")] = False,
    keep_line_breaks: Annotated[bool, typer.Option("--keep-line-breaks", help="Leave line breaks.")] = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Clean texts: Unicode form, control characters, white space, case. Prints one a line."""
    request = pb.NormalizeTextRequest(
        contents=read(contents, file),
        unicode_form=pb.UnicodeForm.Value(f"UNICODE_FORM_{form.name}"),
        fold_case=fold_case,
        keep_line_breaks=keep_line_breaks,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/NormalizeText", request, pb.NormalizeTextResponse)
        show(answer, "\n".join(answer.contents), as_json=as_json)


def tokenize(
    contents: Texts = None,
    *,
    file: Files = None,
    address: Address,
    tokenizer: Annotated[str, typer.Option(metavar="NAME", help="Which; `maas preprocess config` lists them.")],
    max_tokens: Annotated[int, typer.Option(metavar="N", help="Cut after so many; 0 leaves it to the service.")] = 0,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Split texts into the token ids of a tokenizer."""
    request = pb.TokenizeTextRequest(contents=read(contents, file), tokenizer=tokenizer, max_tokens=max_tokens)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/TokenizeText", request, pb.TokenizeTextResponse)
        show(answer, tokens(list(request.contents), answer), as_json=as_json)


def segment(
    contents: Texts = None,
    *,
    file: Files = None,
    address: Address,
    language: Annotated[str, typer.Option(metavar="CODE", help="Language of the texts, BCP-47, if known.")] = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find the sentences of texts, and where they begin and end, in characters."""
    texts = read(contents, file)
    request = pb.SegmentTextRequest(contents=texts, language_codes=[language] * len(texts) if language else [])
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/SegmentText", request, pb.SegmentTextResponse)
        show(answer, sentences(texts, answer), as_json=as_json)


def detect_language(
    contents: Texts = None,
    *,
    file: Files = None,
    address: Address,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell which language each text is written in."""
    texts = read(contents, file)
    with connect(address, timeout) as mesh:
        request = pb.DetectLanguageRequest(contents=texts, model=model)
        answer = mesh.call(f"{SERVICE}/DetectLanguage", request, pb.DetectLanguageResponse)
        show(answer, languages(texts, answer), as_json=as_json)


def config(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the tokenizers, formats and models of this service."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(
            f"{SERVICE}/GetPreprocessingConfig", pb.GetPreprocessingConfigRequest(), pb.GetPreprocessingConfigResponse
        )
        made = table("kind", "names")
        made.add_row("tokenizers", ", ".join(answer.tokenizers))
        made.add_row("picture formats", ", ".join(answer.image_formats))
        made.add_row("audio formats", ", ".join(answer.audio_formats))
        made.add_row("models", ", ".join(each.name for each in answer.models))
        show(answer, made, as_json=as_json)


def tokens(contents: list[str], answer: pb.TokenizeTextResponse) -> Table:
    """A line a text: how many tokens, whether it was cut, and their ids."""
    made = table("tokens", "cut", "ids", "text", right="tokens")
    rows = zip(contents, _rows(answer.input_ids), _rows(answer.attention_mask), answer.truncated, strict=False)
    for content, ids, mask, cut in rows:
        kept = [str(number) for number, real in zip(ids, mask, strict=True) if real]
        made.add_row(str(len(kept)), "yes" if cut else "no", " ".join(kept), content)
    return made


def sentences(contents: list[str], answer: pb.SegmentTextResponse) -> Table:
    """A line a sentence: the number of its text, its place there, and itself."""
    made = table("text", "begin", "end", "sentence", right="text begin end")
    for number, (content, result) in enumerate(zip(contents, answer.results, strict=False), 1):
        if result.HasField("status"):
            made.add_row(str(number), "", "", f"{result.status.message} ({excerpt(content, 40)})")
        for each in result.sentences:
            made.add_row(str(number), str(each.begin), str(each.end), content[each.begin : each.end])
    return made


def languages(contents: list[str], answer: pb.DetectLanguageResponse) -> Table:
    """A line a text: its language, how sure that is, what else it may be, and the text."""
    made = table("language", "confidence", "or", "text", right="confidence")
    for content, result in zip(contents, answer.results, strict=False):
        if result.HasField("status"):
            made.add_row("failed", "", "", f"{result.status.message} ({excerpt(content, 40)})")
            continue
        others = ", ".join(f"{each.language_code} {each.confidence:.2f}" for each in result.alternatives)
        made.add_row(result.language_code or "unknown", f"{result.confidence:.2f}", others, excerpt(content))
    return made


def _rows(tensor: Tensor) -> list[tuple[int, ...]]:
    """The rows of an INT64 [rows, columns] tensor."""
    rows, columns = tensor.shape
    return [struct.unpack_from(f"<{columns}q", tensor.content, 8 * columns * row) for row in range(rows)]
