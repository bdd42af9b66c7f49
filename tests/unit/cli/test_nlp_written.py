"""`maas nlp`: the commands that write texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from maas.nlp.v1 import conversation_pb2 as conversation
from maas.nlp.v1 import summary_pb2 as summary
from maas.nlp.v1 import translation_pb2 as translation
from services.cli.nlp.conversation import split
from tests.unit.cli.fakes import FakeMesh, Maas

FAILED = {"status": {"code": 3, "message": "must not be empty"}}


def told(output: str) -> list[str]:
    """The lines that were printed, without the last, which has time and trace."""
    return output.splitlines()[:-1]


def test_translations_alone_are_on_standard_output(mesh: FakeMesh, maas: Maas):
    """Each text has its line on standard output, empty if it failed; what there is to say is on standard error."""
    mesh.replies["TranslateText"] = ParseDict(
        {
            "results": [
                {
                    "translatedText": "你好，Acme。\n",
                    "sourceLanguageCode": "en",
                    "model": "qwen",
                    "quality": "TRANSLATION_QUALITY_GOOD",
                    "issues": [
                        {"type": "TRANSLATION_ISSUE_TYPE_REPAIRED", "term": "{name}"},
                        {"type": "TRANSLATION_ISSUE_TYPE_SUSPICIOUS"},
                    ],
                },
                FAILED,
                {"translatedText": "好", "sourceLanguageCode": "zh"},
            ]
        },
        translation.TranslateTextResponse(),
    )
    result = maas("nlp", "translate", "Hello, Acme.\n", "", "好", "--to", "zh")
    assert result.stdout == "你好，Acme。\n\n好\n"
    assert told(result.stderr) == [
        "1: {name} was put back; its place may be wrong",
        "1: the translation looks untranslated, or has an unlikely length",
        "1: en to zh, good, by qwen",
        "2: failed: must not be empty",
        "3: zh to zh: nothing to translate",
    ]


def test_what_a_translation_is_to_keep_is_sent(mesh: FakeMesh, maas: Maas):
    """Glossary, terms to keep, format and languages reach the service as typed."""
    mesh.replies["TranslateText"] = translation.TranslateTextResponse()
    terms = ("--glossary", "guarantee=保修", "--glossary", "a=b=c", "--keep", "Acme")
    maas("nlp", "translate", "<b>hi</b>", "--from", "en", "--to", "zh", "--html", *terms)
    assert mesh.requests == [
        translation.TranslateTextRequest(
            contents=["<b>hi</b>"],
            source_language_code="en",
            target_language_code="zh",
            glossary=[
                translation.GlossaryEntry(source_term="guarantee", target_term="保修"),
                translation.GlossaryEntry(source_term="a", target_term="b=c"),
            ],
            do_not_translate=["Acme"],
            format=translation.TEXT_FORMAT_HTML,
        )
    ]


def test_language_pairs_are_a_line_each(mesh: FakeMesh, maas: Maas):
    """Each pair has its quality, chrF and model; where none is offered, that is said."""
    pair = {
        "sourceLanguageCode": "en",
        "targetLanguageCode": "pt",
        "model": "fast",
        "quality": "TRANSLATION_QUALITY_FAIR",
        "chrf": 61.7,
    }
    mesh.replies["ListSupportedLanguagePairs"] = ParseDict(
        {"pairs": [pair]}, translation.ListSupportedLanguagePairsResponse()
    )
    line = maas("nlp", "language-pairs", "--from", "en").stdout.splitlines()[1].split()
    assert (line[:4], line[-1]) == (["en", "pt", "fair", "62"], "fast")
    assert mesh.requests[0].source_language_code == "en"
    mesh.replies["ListSupportedLanguagePairs"] = translation.ListSupportedLanguagePairsResponse()
    assert "no such pair is offered" in maas("nlp", "language-pairs", "--to", "ja").stderr


SUMMARY = {
    "content": "Ada sold 5 ships.",
    "unsupportedClaims": [{"type": "CLAIM_TYPE_NUMBER", "span": {"content": "5"}}],
    "shortfalls": [{"field": "max_words", "description": "has 4 words, not 3"}],
    "model": "qwen",
    "parts": 3,
    "readShare": 0.6,
    "usage": {"inputTokens": 900, "outputTokens": 12},
}
SUMMARY_REMARKS = [
    "not in the text, do not trust: number '5'",
    "max_words: has 4 words, not 3",
    "by qwen · read in 3 parts · the model read the most telling 60% of the text · 900 tokens read, 12 written",
]


def test_a_summary_and_what_is_wrong_with_it(mesh: FakeMesh, maas: Maas):
    """Standard output has the summaries; claims without support, wishes not met and how it was made come after."""
    mesh.replies["SummarizeText"] = ParseDict(
        {"results": [SUMMARY, FAILED, {"content": "B.", "model": "m", "readShare": 1, "parts": 1}]},
        summary.SummarizeTextResponse(),
    )
    result = maas("nlp", "summarize", "one", "", "three", "--words", "3", "--sentences", "2", "--style", "bullets")
    assert result.stdout == "Ada sold 5 ships.\n\n\n\nB.\n"
    assert told(result.stderr) == [
        *[f"1: {line}" for line in SUMMARY_REMARKS],
        "2: failed: must not be empty",
        "3: by m",
    ]
    assert mesh.requests[0].options == summary.SummaryOptions(
        method=summary.SUMMARY_METHOD_ABSTRACTIVE, style=summary.SUMMARY_STYLE_BULLETS, max_sentences=2, max_words=3
    )


def test_a_streamed_summary_has_the_same_remarks(mesh: FakeMesh, maas: Maas):
    """The last answer of a stream has what was checked, and it is shown as without streaming."""
    mesh.replies["StreamSummarizeText"] = [
        summary.StreamSummarizeTextResponse(delta="Ada sold 5 ships."),
        ParseDict({"summary": SUMMARY}, summary.StreamSummarizeTextResponse()),
    ]
    result = maas("nlp", "summarize", "text", "--stream", "--method", "extractive")
    assert (result.stdout, told(result.stderr)) == ("Ada sold 5 ships.\n", SUMMARY_REMARKS)
    assert mesh.requests[0].options.method == summary.SUMMARY_METHOD_EXTRACTIVE


def test_answers_show_where_they_stand(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """Each question has its answer with the words of the passage, or that there is none; files go by their names."""
    (tmp_path / "manual.txt").write_text("It lasts two years.")
    support = {"passageId": "manual.txt", "span": {"content": "two years"}, "score": 0.8}
    mesh.replies["AnswerQuestion"] = ParseDict(
        {"results": [{"answered": True, "answer": "Two years", "score": 0.9, "supports": [support]}, {}, FAILED]},
        conversation.AnswerQuestionResponse(),
    )
    passages = ("--passage", str(tmp_path / "manual.txt"), "--passage-text", "No returns.")
    result = maas("nlp", "ask", "How long?", "-", *passages, stdin="Why?\nWho?\n")
    assert result.stdout.splitlines() == [
        "How long?",
        "Two years  0.90",
        '  manual.txt: "two years"  0.80',
        "",
        "Why?",
        "the passages do not contain the answer",
        "",
        "Who?",
        "failed: must not be empty",
    ]
    assert list(mesh.requests[0].questions) == ["How long?", "Why?", "Who?"]
    assert [(each.id, each.content) for each in mesh.requests[0].passages] == [
        ("manual.txt", "It lasts two years."),
        ("", "No returns."),
    ]


def test_long_passages_are_split(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A file that is too long for a passage becomes several, numbered; files of one name go by number alone."""
    mesh.replies["AnswerQuestion"] = conversation.AnswerQuestionResponse()
    (tmp_path / "long.txt").write_text("A line of the manual.\n" * 1000)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "long.txt").write_text("Short.")
    maas("nlp", "ask", "Why?", "--passage", str(tmp_path / "long.txt"))
    assert [passage.id for passage in mesh.requests[0].passages] == ["long.txt 1", "long.txt 2", "long.txt 3"]
    same = ("--passage", str(tmp_path / "long.txt"), "--passage", str(tmp_path / "other" / "long.txt"))
    maas("nlp", "ask", "Why?", *same)
    assert [passage.id for passage in mesh.requests[1].passages] == [""] * 4


@pytest.mark.parametrize("text", ["word " * 5000, "行" * 9000, "x" * 20_000, "one\r\n\r\ntwo\u2028three\n" * 900])
def test_parts_of_a_text_fit_and_lose_nothing(text: str):
    """However a text is made, its parts together are the text, and each fits into a passage."""
    parts = split(text)
    assert "".join(parts) == text
    assert max(len(part.encode()) for part in parts) <= 8192
