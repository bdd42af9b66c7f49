"""The part of `maas demo` that reads and writes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from maas.nlp.v1 import conversation_pb2, nlp_pb2, summary_pb2, translation_pb2
from maas.nlp.v1.text_pb2 import Passage
from services.cli.nlp import answers, findings, summary, translation
from services.cli.stage import Stage

SERVICE = "maas.nlp.v1.NlpService"
OPINIONS = (
    "The battery lasts for days and the screen is gorgeous.",
    "It broke after a week and nobody answered my letters.",
    "The parcel contains two cables and a manual.",
)
ALIKE = ("How do I reset my password?", "I forgot my login and can't get in.", "The soup needs more salt.")
NAMES = ("Angela Merkel visited the Siemens works in Munich on 3 May 2019.", "马云于1999年在杭州创办了阿里巴巴。")
SUBJECT = ("The striker scored twice in the last ten minutes.",)
LABELS = ("sport", "politics", "cooking", "technology")
SENTENCE = "The train to the airport leaves at half past seven."
REPORT = (
    "The night ferry Aurora left Turku on Friday evening with 412 passengers. Shortly before midnight a pump in the "
    "engine room failed, and the captain, Maria Lindqvist, decided to turn back. Two tugs met the ship outside the "
    "harbour and brought it in at four in the morning. Nobody was hurt. The company will refund every ticket."
)
QUESTIONS = ("How many passengers were on board?", "What is the name of the captain's dog?")
MESSAGE = "Thank a customer in one short sentence for waiting."


def read(stage: Stage) -> None:
    """Everything about texts; what a language model writes comes last, and only where there is one."""
    stage.title("READ", "what people write")
    _analyse(stage)
    stage.title("WRITE", "in another language, in fewer words, and in reply")
    _translate(stage)
    if _has_writer(stage):
        _summarize(stage)
        _answer(stage)
        _reply(stage)


def _analyse(stage: Stage) -> None:
    judge = nlp_pb2.AnalyzeSentimentRequest(contents=OPINIONS)
    judged = stage.call(f"{SERVICE}/AnalyzeSentiment", judge, nlp_pb2.AnalyzeSentimentResponse, twice=True)
    stage.show(findings.sentiments(OPINIONS, judged))
    embed = nlp_pb2.EmbedTextRequest(contents=ALIKE)
    embedded = stage.call(f"{SERVICE}/EmbedText", embed, nlp_pb2.EmbedTextResponse, twice=True)
    stage.show(findings.similarities(ALIKE, embedded))
    classify = nlp_pb2.ClassifyTextRequest(contents=SUBJECT, labels=LABELS, max_results=2)
    found = stage.call(f"{SERVICE}/ClassifyText", classify, nlp_pb2.ClassifyTextResponse)
    stage.show(findings.classes(SUBJECT, found), narrow=True)
    names = nlp_pb2.AnalyzeEntitiesRequest(contents=NAMES)
    named = stage.call(f"{SERVICE}/AnalyzeEntities", names, nlp_pb2.AnalyzeEntitiesResponse)
    for text, result in zip(NAMES, named.results, strict=False):
        stage.show(findings.bracketed(text, result.entities), narrow=True)


def _translate(stage: Stage) -> None:
    """Into Chinese if that is offered, else into what is, and back if that is."""
    listing = translation_pb2.ListSupportedLanguagePairsRequest()
    listed = stage.call(
        f"{SERVICE}/ListSupportedLanguagePairs", listing, translation_pb2.ListSupportedLanguagePairsResponse
    )
    pairs = list(dict.fromkeys((pair.source_language_code, pair.target_language_code) for pair in listed.pairs))
    stage.show(", ".join(f"{source} to {target}" for source, target in pairs) or "no pair is offered", narrow=True)
    targets = sorted((target for source, target in pairs if source == "en"), key=lambda target: target != "zh")
    if not targets:
        return
    _show_source(stage, SENTENCE)
    there = _translated(stage, SENTENCE, "en", targets[0])
    if (targets[0], "en") in pairs and there:
        _translated(stage, there, targets[0], "en")


def _translated(stage: Stage, text: str, source: str, target: str) -> str:
    request = translation_pb2.TranslateTextRequest(
        contents=[text], source_language_code=source, target_language_code=target
    )
    answer = stage.call(
        f"{SERVICE}/TranslateText",
        request,
        translation_pb2.TranslateTextResponse,
        called=f"TranslateText {source} to {target}",
    )
    result = answer.results[0]
    _show_written(stage, result.translated_text, translation.remarks(text, result, target))
    return result.translated_text


def _has_writer(stage: Stage) -> bool:
    """Show which language model answers by default, and why it is this one. Returns whether there is one."""
    answer = stage.call(f"{SERVICE}/GetNlpConfig", nlp_pb2.GetNlpConfigRequest(), nlp_pb2.GetNlpConfigResponse)
    for model in answer.models:
        if model.task == "text-generation" and model.default:
            stage.show(f"{model.name} writes here. {model.note or model.summary}", narrow=True)
            return True
    stage.show("no language model is here; what follows in this section needs one", narrow=True)
    return False


def _summarize(stage: Stage) -> None:
    request = summary_pb2.SummarizeTextRequest(
        contents=[REPORT], options=summary_pb2.SummaryOptions(max_sentences=1, language_code="en")
    )
    _show_source(stage, REPORT)
    answer = stage.call(f"{SERVICE}/SummarizeText", request, summary_pb2.SummarizeTextResponse)
    result = answer.results[0]
    _show_written(stage, result.content, summary.remarks(REPORT, result))


def _answer(stage: Stage) -> None:
    """A question that the report answers, and one that it does not."""
    request = conversation_pb2.AnswerQuestionRequest(
        questions=QUESTIONS, passages=[Passage(id="report", content=REPORT)], language_code="en"
    )
    answer = stage.call(f"{SERVICE}/AnswerQuestion", request, conversation_pb2.AnswerQuestionResponse)
    stage.show(answers.answered(QUESTIONS, answer), narrow=True)


def _reply(stage: Stage) -> None:
    asked = conversation_pb2.GenerateReplyRequest(
        messages=[conversation_pb2.ChatMessage(role=conversation_pb2.ROLE_USER, content=MESSAGE)],
        parameters=conversation_pb2.GenerationParameters(max_tokens=40, temperature=0),
    )
    _show_source(stage, MESSAGE)
    last = stage.stream(f"{SERVICE}/StreamGenerateReply", conversation_pb2.StreamGenerateReplyRequest(request=asked))
    _show_written(stage, last.response.reply, answers.remarks(last.response))


def _show_source(stage: Stage, text: str) -> None:
    """What the next call gets."""
    stage.show(Text(f'"{text}"', "italic"), narrow=True)


def _show_written(stage: Stage, text: str, remarks: Sequence[Text]) -> None:
    stage.show(Group(Text(text), *remarks), narrow=True)
