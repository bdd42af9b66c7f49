"""`maas nlp`: the commands that analyse texts."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status

from maas.nlp.v1 import nlp_pb2 as pb
from services.cli.nlp.analysis import EntityKind
from tests.unit.cli.fakes import FakeMesh, Maas

SENTIMENTS = ParseDict(
    {
        "results": [
            {"sentiment": "SENTIMENT_POSITIVE", "score": 0.9, "positiveProbability": 0.95},
            {"sentiment": "SENTIMENT_NEGATIVE", "score": -0.8, "positiveProbability": 0.1, "truncated": True},
            {"status": {"code": 3, "message": "must not be empty"}},
        ],
        "model": "sentiment-e5-en",
    },
    pb.AnalyzeSentimentResponse(),
)


def test_sentiment_is_a_line_a_text(mesh: FakeMesh, maas: Maas):
    """Each text has its line with sentiment and score; a text that failed says why, and the others stay."""
    mesh.replies["AnalyzeSentiment"] = SENTIMENTS
    result = maas("nlp", "sentiment", "I love [it]", "Dreadful", "", "--language", "en", "--model", "sentiment-e5-en")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["positive", "+0.90", "I", "love", "[it]"]
    assert lines[2].split()[:3] == ["negative", "-0.80", "Dreadful"]
    assert "(only its beginning was read)" in lines[2]
    assert lines[3].strip() == "failed: must not be empty"
    assert mesh.requests == [
        pb.AnalyzeSentimentRequest(
            contents=["I love [it]", "Dreadful", ""], language_code="en", model="sentiment-e5-en"
        )
    ]


def test_sentences_are_judged_when_asked_for(mesh: FakeMesh, maas: Maas):
    """--sentences asks for them, and each has its line below its text, which tells the magnitude."""
    mesh.replies["AnalyzeSentiment"] = ParseDict(
        {
            "results": [
                {
                    "sentiment": "SENTIMENT_NEUTRAL",
                    "magnitude": 1.7,
                    "sentences": [
                        {"span": {"content": "Good."}, "sentiment": "SENTIMENT_POSITIVE", "score": 0.9},
                        {"span": {"content": "Bad."}, "sentiment": "SENTIMENT_NEGATIVE", "score": -0.8},
                    ],
                }
            ]
        },
        pb.AnalyzeSentimentResponse(),
    )
    result = maas("nlp", "sentiment", "Good. Bad.", "--sentences")
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["neutral", "+0.00", "Good.", "Bad.", "(magnitude", "1.7)"],
        ["positive", "+0.90", "Good."],
        ["negative", "-0.80", "Bad."],
    ]
    assert mesh.requests[0].include_sentences


def test_a_long_text_is_shown_by_its_beginning(mesh: FakeMesh, maas: Maas):
    """In a table a document has one line, which ends where it was cut; it is sent as a whole."""
    mesh.replies["AnalyzeSentiment"] = SENTIMENTS
    text = "word\n" * 200
    lines = maas("nlp", "sentiment", text).stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].rstrip().endswith("...")
    assert list(mesh.requests[0].contents) == [text]


def test_classify_is_a_line_a_label(mesh: FakeMesh, maas: Maas):
    """The labels of each text, the likeliest first, beside it; a text without any and one that failed are shown."""
    mesh.replies["ClassifyText"] = ParseDict(
        {
            "results": [
                {"labels": [{"label": "sport", "score": 0.8}, {"label": "politics", "score": 0.2}]},
                {},
                {"status": {"code": 3, "message": "must not be empty"}},
            ]
        },
        pb.ClassifyTextResponse(),
    )
    result = maas("nlp", "classify", "Goal!", "Hm.", "", "-l", "sport", "-l", "politics", "--min-score", "0.1")
    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert (lines[0][0], lines[0][2:]) == ("0.80", ["sport", "Goal!"])
    assert lines[1][0::2] == ["0.20", "politics"]
    assert lines[2:] == [["none", "Hm."], ["failed:", "must", "not", "be", "empty"]]
    assert list(mesh.requests[0].labels) == ["sport", "politics"]
    assert mesh.requests[0].min_score == pytest.approx(0.1)


def entity(kind: str, content: str, begin: int, **rest: float) -> dict[str, Any]:
    """An entity as JSON."""
    span = {"content": content, "beginOffset": begin, "endOffset": begin + len(content)}
    return {"type": f"ENTITY_TYPE_{kind}", "span": span, **rest}


ADA = [entity("PERSON", "Ada", 3, score=0.9), entity("EMAIL", "a@b.c", 8, score=1.0), entity("LOCATION", "Rom", 18)]


def test_entities_stand_in_brackets_and_in_a_table(mesh: FakeMesh, maas: Maas):
    """Each entity has its kind and brackets in the text, also behind wide characters, and a line with its place."""
    mesh.replies["AnalyzeEntities"] = ParseDict(
        {"results": [{"entities": ADA, "model": "m", "languageCode": "de"}]}, pb.AnalyzeEntitiesResponse()
    )
    result = maas("nlp", "entities", "👋👋 Ada (a@b.c) in Rom.", "--type", "person", "--type", "phone-number")
    lines = result.stdout.splitlines()
    assert lines[0] == "👋👋 [Ada person] ([a@b.c email]) in [Rom location]."
    assert [line.split() for line in lines[2:]] == [
        ["person", "3", "6", "0.90", "Ada"],
        ["email", "8", "13", "1.00", "a@b.c"],
        ["location", "18", "21", "Rom"],
    ]
    assert list(mesh.requests[0].types) == [pb.ENTITY_TYPE_PERSON, pb.ENTITY_TYPE_PHONE_NUMBER]


def test_entities_own_up_to_a_language_that_no_model_knows(mesh: FakeMesh, maas: Maas):
    """Where only patterns were looked for, the answer says so; a text that failed says why."""
    failed = {"status": {"code": 3, "message": "must not be empty"}}
    mesh.replies["AnalyzeEntities"] = ParseDict({"results": [{}, failed]}, pb.AnalyzeEntitiesResponse())
    shown = maas("nlp", "entities", "Salve, munde.", "").stdout
    assert "only addresses and numbers" in shown
    assert "failed: must not be empty" in shown


def test_every_kind_of_entity_can_be_typed():
    """--type takes the kinds of the contract and no others."""
    assert [f"ENTITY_TYPE_{kind.name}" for kind in EntityKind] == pb.EntityType.keys()[1:]


def test_annotate_shows_each_feature(mesh: FakeMesh, maas: Maas):
    """Every feature that was asked for has its line, one that failed says why, and the text has its names marked."""
    mesh.replies["AnnotateText"] = ParseDict(
        {
            "results": [
                {
                    "languageCode": "de",
                    "sentiment": {"sentiment": "SENTIMENT_POSITIVE", "score": 0.5},
                    "classification": {"status": {"code": 14, "message": "the model is loading"}},
                    "entities": {"entities": ADA},
                    "embedding": {"values": [0.5] * 6},
                },
                {"status": {"code": 3, "message": "must not be empty"}},
            ]
        },
        pb.AnnotateTextResponse(),
    )
    result = maas("nlp", "annotate", "👋👋 Ada (a@b.c) in Rom.", "", "--feature", "sentiment", "--feature", "embedding")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "👋👋 [Ada person] ([a@b.c email]) in [Rom location].",
        "language de",
        "sentiment positive +0.50",
        "subject failed: the model is loading",
        "names Ada (person), a@b.c (email), Rom (location)",
        "embedding +0.500 +0.500 +0.500 +0.500 +0.500 ...",
        "",
        "failed: must not be empty",
    ]
    assert list(mesh.requests[0].features) == [pb.TEXT_FEATURE_SENTIMENT, pb.TEXT_FEATURE_EMBEDDING]


def test_annotate_without_features_asks_for_all_that_people_read(mesh: FakeMesh, maas: Maas):
    """Without --feature all but the vectors are asked for."""
    mesh.replies["AnnotateText"] = pb.AnnotateTextResponse()
    assert maas("nlp", "annotate", "hello").exit_code == 0
    assert set(mesh.requests[0].features) == set(pb.TextFeature.values()[1:]) - {pb.TEXT_FEATURE_EMBEDDING}


def test_embed_says_what_texts_are(mesh: FakeMesh, maas: Maas):
    """--kind reaches the service; without it the service decides."""
    mesh.replies["EmbedText"] = pb.EmbedTextResponse()
    maas("nlp", "embed", "one", "two", "--kind", "query")
    maas("nlp", "embed", "one", "two")
    assert [request.kind for request in mesh.requests] == [pb.EMBEDDING_KIND_QUERY, pb.EMBEDDING_KIND_UNSPECIFIED]


def test_embed_tells_how_alike_texts_are(mesh: FakeMesh, maas: Maas):
    """The table has the cosine of every pair of vectors."""
    mesh.replies["EmbedText"] = pb.EmbedTextResponse(
        results=[pb.TextEmbedding(values=[1, 0]), pb.TextEmbedding(values=[0.6, 0.8])], dimension=2
    )
    result = maas("nlp", "embed", "one", "two")
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        ["#", "~1", "~2"],
        ["1", "1.00", "0.60"],
        ["2", "0.60", "1.00"],
    ]


def test_embed_shows_the_vector_of_a_single_text(mesh: FakeMesh, maas: Maas):
    """One text has no pairs: its dimension and first numbers are shown."""
    mesh.replies["EmbedText"] = pb.EmbedTextResponse(
        results=[pb.TextEmbedding(values=[0.5, -0.25, 0, 0, 0, 0])], dimension=6
    )
    result = maas("nlp", "embed", "one")
    assert result.stdout.splitlines()[1].split()[:3] == ["6", "+0.500", "-0.250"]


def test_embed_tells_which_text_failed(mesh: FakeMesh, maas: Maas):
    """A text whose embedding failed says why, and the command still ends with 0: the call itself was answered."""
    failed = pb.TextEmbedding(status=Status(code=3, message="must not be empty"))
    mesh.replies["EmbedText"] = pb.EmbedTextResponse(results=[pb.TextEmbedding(values=[1, 0]), failed], dimension=2)
    result = maas("nlp", "embed", "one", "")
    assert (result.exit_code, "must not be empty" in result.stdout) == (0, True)


def test_config_lists_models(mesh: FakeMesh, maas: Maas):
    """Models, the default marked, with their measured figures."""
    mesh.replies["GetNlpConfig"] = ParseDict(
        {
            "models": [
                {
                    "name": "minilm-l6",
                    "task": "text-embedding",
                    "default": True,
                    "licence": "Apache-2.0",
                    "languageCodes": ["en", "de", "fr", "es"],
                    "metrics": {"accuracy": 0.83},
                }
            ]
        },
        pb.GetNlpConfigResponse(),
    )
    result = maas("nlp", "config")
    assert "minilm-l6*" in result.stdout
    assert "accuracy 0.83" in result.stdout
    assert "en, de, fr and 1 more" in result.stdout
