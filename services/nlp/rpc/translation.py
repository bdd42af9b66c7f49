"""TranslateText and ListSupportedLanguagePairs."""

from __future__ import annotations

from collections.abc import Sequence

from maas.nlp.v1 import nlp_pb2_grpc
from maas.nlp.v1 import translation_pb2 as pb
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.request import language_tag, one_of, request_id
from services.mesh.server import budget
from services.mesh.status import to_status
from services.nlp.pipelines.texts import MAX_TEXTS, require_count
from services.nlp.pipelines.translation.pairs import Quality
from services.nlp.pipelines.translation.terms import Wording
from services.nlp.pipelines.translation.translate import IssueType, Order, Translated, Translator
from services.nlp.rpc.usage import token_usage

MAX_TERMS = 100
MAX_TERM_CHARACTERS = 100

_QUALITIES = {
    Quality.GOOD: pb.TRANSLATION_QUALITY_GOOD,
    Quality.FAIR: pb.TRANSLATION_QUALITY_FAIR,
}
_ISSUES = {
    IssueType.REPAIRED: pb.TRANSLATION_ISSUE_TYPE_REPAIRED,
    IssueType.LOST: pb.TRANSLATION_ISSUE_TYPE_LOST,
    IssueType.GLOSSARY_MISSED: pb.TRANSLATION_ISSUE_TYPE_GLOSSARY_MISSED,
    IssueType.SUSPICIOUS: pb.TRANSLATION_ISSUE_TYPE_SUSPICIOUS,
}


class TranslationRpcs(nlp_pb2_grpc.NlpServiceServicer):
    """The RPCs of translation."""

    _translator: Translator

    async def TranslateText(self, request: pb.TranslateTextRequest, context: Context) -> pb.TranslateTextResponse:
        """Texts into another language."""
        echo = request_id(request)
        require_count("contents", request.contents, high=MAX_TEXTS)
        found = await self._translator.translate(request.contents, _order(request), budget(context))
        return pb.TranslateTextResponse(results=[_translation(each) for each in found], request_id=echo)

    async def ListSupportedLanguagePairs(
        self,
        request: pb.ListSupportedLanguagePairsRequest,
        context: Context,
    ) -> pb.ListSupportedLanguagePairsResponse:
        """What is translated into what."""
        source = language_tag("source_language_code", request.source_language_code)
        target = language_tag("target_language_code", request.target_language_code)
        pairs = [
            pb.LanguagePair(
                source_language_code=pair.source,
                target_language_code=pair.target,
                model=pair.card.name,
                quality=_QUALITIES[pair.quality],
                chrf=pair.chrf,
            )
            for pair in self._translator.pairs().listing(source, target)
        ]
        return pb.ListSupportedLanguagePairsResponse(pairs=pairs)


def _order(request: pb.TranslateTextRequest) -> Order:
    text_format = one_of("format", request.format, pb.TextFormat.values())
    glossary = [(entry.source_term, entry.target_term) for entry in request.glossary]
    _require_terms("glossary", [source for source, _ in glossary], ".source_term")
    _require_terms("glossary", [target for _, target in glossary], ".target_term")
    _require_terms("do_not_translate", request.do_not_translate)
    return Order(
        target=language_tag("target_language_code", request.target_language_code, required=True),
        source=language_tag("source_language_code", request.source_language_code),
        model=request.model,
        wording=Wording(tuple(glossary), tuple(request.do_not_translate)),
        html=text_format == pb.TEXT_FORMAT_HTML,
    )


def _require_terms(field: str, terms: Sequence[str], part: str = "") -> None:
    require_count(field, terms, low=0, high=MAX_TERMS, things="terms")
    for index, term in enumerate(terms):
        if not (term.strip() and len(term) <= MAX_TERM_CHARACTERS):
            raise errors.InvalidArgument.field(
                f"{field}[{index}]{part}", f"takes 1 to {MAX_TERM_CHARACTERS} characters, got {len(term)}"
            )


def _translation(found: Translated | errors.MeshError) -> pb.Translation:
    if isinstance(found, errors.MeshError):
        return pb.Translation(status=to_status(found))
    answer = pb.Translation(
        translated_text=found.text,
        source_language_code=found.source,
        issues=[pb.TranslationIssue(type=_ISSUES[issue.type], term=issue.term) for issue in found.issues],
        usage=token_usage(found.usage),
    )
    if found.pair is not None:
        answer.model = found.pair.card.name
        answer.quality = _QUALITIES[found.pair.quality]
    return answer
