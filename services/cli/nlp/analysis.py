"""`maas nlp sentiment`, `classify`, `entities`, `embed`, `annotate`, `config`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from maas.nlp.v1 import nlp_pb2 as pb
from services.cli.client import connect
from services.cli.models.listing import models_table
from services.cli.nlp import findings
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Timeout
from services.cli.output import show
from services.cli.texts import Files, Language, Texts, read

SERVICE = "maas.nlp.v1.NlpService"


class Kind(StrEnum):
    """What a text to embed is used for."""

    QUERY = "query"
    PASSAGE = "passage"


class Feature(StrEnum):
    """What `annotate` can find out; named as in the contract."""

    SENTIMENT = "sentiment"
    CLASSIFICATION = "classification"
    ENTITIES = "entities"
    EMBEDDING = "embedding"


class EntityKind(StrEnum):
    """Kinds of things that texts name; named as in the contract."""

    PERSON = "person"
    LOCATION = "location"
    ORGANIZATION = "organization"
    DATE = "date"
    TIME = "time"
    MONEY = "money"
    QUANTITY = "quantity"
    EVENT = "event"
    PRODUCT = "product"
    EMAIL = "email"
    PHONE_NUMBER = "phone-number"
    URL = "url"
    CARD_NUMBER = "card-number"
    OTHER = "other"


Labels = Annotated[
    list[str] | None,
    typer.Option("--label", "-l", metavar="LABEL", help="What a text may be about; give two or more. Repeat."),
]
Types = Annotated[
    list[EntityKind] | None,
    typer.Option("--type", metavar="KIND", help=f"Only this kind: {', '.join(EntityKind)}. Repeat."),
]
Sentences = Annotated[bool, typer.Option("--sentences", help="Judge each sentence too.")]


def sentiment(
    contents: Texts = None,
    *,
    address: Address,
    files: Files = None,
    sentences: Sentences = False,
    language: Language = "",
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell whether texts speak well or badly of their subject.

    Example: maas nlp sentiment "I love it." "It broke." --sentences
    """
    request = pb.AnalyzeSentimentRequest(
        contents=read(contents, files), language_code=language, model=model, include_sentences=sentences
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/AnalyzeSentiment", request, pb.AnalyzeSentimentResponse)
        show(answer, findings.sentiments(request.contents, answer), as_json=as_json)


def classify(
    contents: Texts = None,
    *,
    address: Address,
    files: Files = None,
    labels: Labels = None,
    max_results: Annotated[int, typer.Option(metavar="N", help="Most labels a text; 0 means 5.")] = 0,
    min_score: Annotated[float, typer.Option(metavar="0..1", help="Leave out labels below.")] = 0.0,
    language: Language = "",
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Sort texts under labels of yours, or under those that a model was trained on.

    Example: maas nlp classify "The striker scored twice." -l sport -l politics
    """
    request = pb.ClassifyTextRequest(
        contents=read(contents, files),
        labels=labels or [],
        max_results=max_results,
        min_score=min_score,
        language_code=language,
        model=model,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/ClassifyText", request, pb.ClassifyTextResponse)
        show(answer, findings.classes(request.contents, answer), as_json=as_json)


def entities(
    contents: Texts = None,
    *,
    address: Address,
    files: Files = None,
    types: Types = None,
    language: Language = "",
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find people, places, organisations, dates, money, addresses and numbers in texts.

    The texts are printed with what was found in brackets, then a line for each find. Places count characters from 0.
    """
    request = pb.AnalyzeEntitiesRequest(
        contents=read(contents, files), types=_entity_types(types), language_code=language, model=model
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/AnalyzeEntities", request, pb.AnalyzeEntitiesResponse)
        show(answer, findings.names(request.contents, answer), as_json=as_json)


def embed(
    contents: Texts = None,
    *,
    address: Address,
    files: Files = None,
    kind: Annotated[
        Kind | None,
        typer.Option(
            metavar="KIND",
            help="For models that tell questions from what answers them: query or passage, as without it.",
        ),
    ] = None,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Turn texts into vectors, and tell how alike in meaning they are.

    The table has the cosine similarity of each pair, from -1 to 1; --json has the vectors.
    """
    request = pb.EmbedTextRequest(contents=read(contents, files), model=model)
    if kind:
        request.kind = pb.EmbeddingKind.Value(f"EMBEDDING_KIND_{kind.name}")
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/EmbedText", request, pb.EmbedTextResponse)
        show(answer, findings.similarities(request.contents, answer), as_json=as_json)


def annotate(
    contents: Texts = None,
    *,
    address: Address,
    files: Files = None,
    features: Annotated[
        list[Feature] | None,
        typer.Option(
            "--feature",
            metavar="FEATURE",
            help=f"What to find out: {', '.join(Feature)}; without it all but embedding. Repeat.",
        ),
    ] = None,
    sentences: Sentences = False,
    labels: Labels = None,
    types: Types = None,
    language: Language = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find out several things about texts in one call: sentiment, subject, names, vectors."""
    wanted = features or [Feature.SENTIMENT, Feature.CLASSIFICATION, Feature.ENTITIES]
    request = pb.AnnotateTextRequest(
        contents=read(contents, files),
        features=[pb.TextFeature.Value(f"TEXT_FEATURE_{feature.name}") for feature in dict.fromkeys(wanted)],
        include_sentences=sentences,
        labels=labels or [],
        entity_types=_entity_types(types),
        language_code=language,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/AnnotateText", request, pb.AnnotateTextResponse)
        show(answer, findings.everything(request.contents, answer), as_json=as_json)


def config(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the models of this service; `maas models NAME` tells all about one."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/GetNlpConfig", pb.GetNlpConfigRequest(), pb.GetNlpConfigResponse)
        show(answer, models_table(answer.models), as_json=as_json)


def _entity_types(kinds: list[EntityKind] | None) -> list[pb.EntityType.ValueType]:
    return [pb.EntityType.Value(f"ENTITY_TYPE_{kind.name}") for kind in kinds or []]
