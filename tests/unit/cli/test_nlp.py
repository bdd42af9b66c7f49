"""`maas nlp`."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status

from maas.nlp.v1 import nlp_pb2 as pb
from tests.unit.cli.fakes import FakeMesh, Maas

SENTIMENTS = ParseDict(
    {
        "results": [
            {"sentiment": "SENTIMENT_POSITIVE", "score": 0.9, "positiveProbability": 0.95},
            {"sentiment": "SENTIMENT_NEGATIVE", "score": -0.8, "positiveProbability": 0.1, "truncated": True},
            {"status": {"code": 3, "message": "must not be empty"}},
        ],
        "model": "sentiment-minilm",
    },
    pb.AnalyzeSentimentResponse(),
)


def test_sentiment_is_a_line_a_text(mesh: FakeMesh, maas: Maas):
    """Each text has its line with sentiment and score; a text that failed says why, and the others stay."""
    mesh.replies["AnalyzeSentiment"] = SENTIMENTS
    result = maas("nlp", "sentiment", "I love [it]", "Dreadful", "", "--language", "en", "--model", "sentiment-minilm")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["positive", "+0.90", "I", "love", "[it]"]
    assert lines[2].split()[:3] == ["negative", "-0.80", "Dreadful"]
    assert "(only its beginning was read)" in lines[2]
    assert lines[3].split()[0] == "failed"
    assert "must not be empty" in lines[3]
    assert mesh.requests == [
        pb.AnalyzeSentimentRequest(
            contents=["I love [it]", "Dreadful", ""], language_code="en", model="sentiment-minilm"
        )
    ]


def test_dash_reads_texts_from_standard_input(mesh: FakeMesh, maas: Maas):
    """A dash stands for the lines of standard input that are not blank."""
    mesh.replies["AnalyzeSentiment"] = SENTIMENTS
    assert maas("nlp", "sentiment", "first", "-", stdin="second\n\n third \n").exit_code == 0
    assert list(mesh.requests[0].contents) == ["first", "second", "third"]


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
