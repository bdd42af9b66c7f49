"""SummarizeText and StreamSummarizeText."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from maas.nlp.v1 import nlp_pb2_grpc, text_pb2
from maas.nlp.v1 import summary_pb2 as pb
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.request import language_tag, limited, one_of, request_id
from services.mesh.server import budget
from services.mesh.status import to_status
from services.nlp.pipelines.summary.form import Style, Wish
from services.nlp.pipelines.summary.summarize import MAX_BYTES, Summarizer, Summary, SummaryOptions
from services.nlp.pipelines.texts import each, require_count, require_text
from services.nlp.rpc.spans import Offsets, require_encoding
from services.nlp.rpc.usage import token_usage

_MAX_TEXTS = 16
_MAX_SENTENCES = 20
_DEFAULT_SENTENCES = 3
_WORDS = (5, 1000)
_STYLES: dict[pb.SummaryStyle.ValueType, Style] = {
    pb.SUMMARY_STYLE_UNSPECIFIED: "paragraph",
    pb.SUMMARY_STYLE_PARAGRAPH: "paragraph",
    pb.SUMMARY_STYLE_BULLETS: "bullets",
    pb.SUMMARY_STYLE_HEADLINE: "headline",
}
_CLAIMS = {"number": pb.CLAIM_TYPE_NUMBER, "name": pb.CLAIM_TYPE_NAME}


class SummaryRpcs(nlp_pb2_grpc.NlpServiceServicer):
    """The RPCs that summarise."""

    _summarizer: Summarizer
    # Of one call, how much a language model works on at the same time.
    _at_once: int

    async def SummarizeText(self, request: pb.SummarizeTextRequest, context: Context) -> pb.SummarizeTextResponse:
        """Summaries of texts; each fails alone."""
        echo, deadline = request_id(request), budget(context)
        require_count("contents", request.contents, high=_MAX_TEXTS)
        options = _options(request.options, parts_at_once=max(1, self._at_once // len(request.contents)))

        async def summarize(index: int, content: str) -> pb.TextSummary:
            field = f"contents[{index}]"
            require_text(field, content, max_bytes=MAX_BYTES)
            summary = await self._summarizer.summarize(content, options, deadline, field=field)
            return _summary(content, summary, request.options.encoding_type)

        done = await each(request.contents, summarize, at_once=self._at_once)
        results = [
            pb.TextSummary(status=to_status(found)) if isinstance(found, errors.MeshError) else found for found in done
        ]
        return pb.SummarizeTextResponse(results=results, request_id=echo)

    async def StreamSummarizeText(
        self, request: pb.StreamSummarizeTextRequest, context: Context
    ) -> AsyncIterator[pb.StreamSummarizeTextResponse]:
        """A summary, while it is being written."""
        echo, options = request_id(request), _options(request.options, parts_at_once=self._at_once)
        content = require_text("content", request.content, max_bytes=MAX_BYTES)
        async with aclosing(self._summarizer.stream(content, options, budget(context), field="content")) as events:
            async for event in events:
                if isinstance(event, str):
                    yield pb.StreamSummarizeTextResponse(delta=event)
                else:
                    summary = _summary(content, event, request.options.encoding_type)
                    yield pb.StreamSummarizeTextResponse(summary=summary, request_id=echo)


def _options(options: pb.SummaryOptions, *, parts_at_once: int) -> SummaryOptions:
    """What is wanted, checked. Raises InvalidArgument."""
    require_encoding(options.encoding_type, field="options.encoding_type")
    method = one_of("options.method", options.method, pb.SummaryMethod.values())
    extractive = method == pb.SUMMARY_METHOD_EXTRACTIVE
    style = _STYLES[one_of("options.style", options.style, _STYLES)]
    if extractive and style != "paragraph":
        raise errors.InvalidArgument.field("options.style", "takes SUMMARY_STYLE_PARAGRAPH when extractive")
    sentences = limited(
        "options.max_sentences", options.max_sentences, default=_DEFAULT_SENTENCES, low=1, high=_MAX_SENTENCES
    )
    words = limited("options.max_words", options.max_words, default=0, low=_WORDS[0], high=_WORDS[1])
    return SummaryOptions(
        "extractive" if extractive else "abstractive",
        Wish(style, sentences, words),
        language_tag("options.language_code", options.language_code),
        options.model,
        parts_at_once,
    )


def _summary(text: str, found: Summary, encoding: text_pb2.EncodingType.ValueType) -> pb.TextSummary:
    source, summary = Offsets(text, encoding), Offsets(found.content, encoding)
    return pb.TextSummary(
        content=found.content,
        sentences=[
            pb.SummarySentence(span=source.span(one.begin, one.end), score=one.score) for one in found.sentences
        ],
        unsupported_claims=[
            pb.UnsupportedClaim(type=_CLAIMS[one.kind], span=summary.span(one.begin, one.end)) for one in found.claims
        ],
        shortfalls=[pb.SummaryShortfall(field=one.field, description=one.description) for one in found.shortfalls],
        language_code=found.language_code,
        model=found.model,
        parts=found.parts,
        read_share=found.read_share,
        usage=token_usage(found.usage),
    )
