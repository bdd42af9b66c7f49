"""GenerateReply, StreamGenerateReply, BatchGenerateReply and AnswerQuestion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Literal

from maas.nlp.v1 import conversation_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc, text_pb2
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.request import fraction, language_tag, one_of, request_id
from services.mesh.server import budget
from services.mesh.status import to_status
from services.nlp.pipelines.conversation.answer import Answers
from services.nlp.pipelines.conversation.canned import Canned
from services.nlp.pipelines.conversation.evidence import MAX_PASSAGES, Passage
from services.nlp.pipelines.conversation.grounding import Cited, Grounded
from services.nlp.pipelines.conversation.reply import Replies, Reply, ReplyRequest
from services.nlp.pipelines.generate import Message
from services.nlp.pipelines.texts import each, require_count, require_text
from services.nlp.rpc.parameters import sampling
from services.nlp.rpc.spans import Offsets, require_encoding
from services.nlp.rpc.usage import token_usage

_MAX_MESSAGES = 64
_MAX_CANNED = 500
_MAX_QUESTION_BYTES = 1024
_MAX_BATCH = 16
_MAX_ID_CHARACTERS = 64
_ROLES: dict[pb.Role.ValueType, Literal["system", "user", "assistant"]] = {
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
}
_REASONS = {"stop": pb.FINISH_REASON_STOP, "length": pb.FINISH_REASON_LENGTH}
_GROUNDINGS = {
    "": pb.GROUNDING_UNSPECIFIED,
    "supported": pb.GROUNDING_SUPPORTED,
    "not in passages": pb.GROUNDING_NOT_IN_PASSAGES,
}


class ConversationRpcs(nlp_pb2_grpc.NlpServiceServicer):
    """The RPCs that reply and answer."""

    _replies: Replies
    _answers: Answers
    # Of one call, how much a language model works on at the same time.
    _at_once: int

    async def GenerateReply(self, request: pb.GenerateReplyRequest, context: Context) -> pb.GenerateReplyResponse:
        """The next message of a conversation."""
        wanted = await _read(request)
        return _response(request, await self._replies.reply(wanted, budget(context)))

    async def StreamGenerateReply(
        self, request: pb.StreamGenerateReplyRequest, context: Context
    ) -> AsyncIterator[pb.StreamGenerateReplyResponse]:
        """The next message of a conversation, while it is being written."""
        inner = request.request
        with _within("request"):
            wanted = await _read(inner)
            async with aclosing(self._replies.stream(wanted, budget(context))) as events:
                async for event in events:
                    if isinstance(event, str):
                        yield pb.StreamGenerateReplyResponse(delta=event)
                    else:
                        yield pb.StreamGenerateReplyResponse(response=_response(inner, event))

    async def BatchGenerateReply(
        self, request: pb.BatchGenerateReplyRequest, context: Context
    ) -> pb.BatchGenerateReplyResponse:
        """Several replies; each fails alone."""
        echo, deadline = request_id(request), budget(context)
        require_count("requests", request.requests, high=_MAX_BATCH, things="requests")

        async def reply(index: int, one: pb.GenerateReplyRequest) -> pb.GenerateReplyResponse:
            with _within(f"requests[{index}]"):
                return _response(one, await self._replies.reply(await _read(one), deadline))

        done = await each(request.requests, reply, at_once=self._at_once)
        results = [
            pb.ReplyResult(status=to_status(found))
            if isinstance(found, errors.MeshError)
            else pb.ReplyResult(response=found)
            for found in done
        ]
        return pb.BatchGenerateReplyResponse(results=results, request_id=echo)

    async def AnswerQuestion(self, request: pb.AnswerQuestionRequest, context: Context) -> pb.AnswerQuestionResponse:
        """Answers from passages; each question fails alone."""
        echo, encoding, deadline = request_id(request), require_encoding(request.encoding_type), budget(context)
        require_count("questions", request.questions, high=_MAX_BATCH, things="questions")
        code = language_tag("language_code", request.language_code)
        passages = _passages(request.passages, low=1)
        card = self._answers.card(request.model, code)

        async def answer(index: int, question: str) -> Grounded:
            require_text(f"questions[{index}]", question, max_bytes=_MAX_QUESTION_BYTES)
            return await self._answers.answer(question, passages, card, code, deadline)

        done = await each(request.questions, answer, at_once=self._at_once)
        results = [_answer(found, card.name, passages, encoding) for found in done]
        return pb.AnswerQuestionResponse(results=results, request_id=echo)


async def _read(request: pb.GenerateReplyRequest) -> ReplyRequest:
    """The request, checked. Raises InvalidArgument.

    Beside the event loop: a JSON Schema of 16 KiB can take seconds to check.
    """
    request_id(request)
    return await asyncio.to_thread(_reply_request, request)


def _reply_request(request: pb.GenerateReplyRequest) -> ReplyRequest:
    require_encoding(request.encoding_type)
    mode = one_of("canned_reply_mode", request.canned_reply_mode, pb.CannedReplyMode.values())
    only = mode == pb.CANNED_REPLY_MODE_ONLY
    require_count("canned_replies", request.canned_replies, low=int(only), high=_MAX_CANNED, things="replies")
    return ReplyRequest(
        messages=_messages(request.messages),
        sampling=sampling(request.parameters, grounded=bool(request.passages)),
        passages=_passages(request.passages, low=0),
        canned=tuple(_canned(index, canned) for index, canned in enumerate(request.canned_replies)),
        canned_only=only,
        min_canned_score=fraction("min_canned_score", request.min_canned_score, default=0),
        model=request.model,
    )


@contextmanager
def _within(field: str) -> Iterator[None]:
    """Of a request within another, errors name the fields as the caller wrote them."""
    try:
        yield
    except errors.InvalidArgument as error:
        raise errors.InvalidArgument(
            f"{field}.{error.message}" if error.violations else error.message,
            reason=error.reason,
            metadata=error.metadata,
            violations=[errors.Violation(f"{field}.{each.field}", each.description) for each in error.violations],
        ) from None


def _messages(messages: Sequence[pb.ChatMessage]) -> tuple[Message, ...]:
    require_count("messages", messages, high=_MAX_MESSAGES, things="messages")
    found = []
    for index, message in enumerate(messages):
        field = f"messages[{index}]"
        if message.role not in _ROLES:
            raise errors.InvalidArgument.field(f"{field}.role", "takes ROLE_SYSTEM, ROLE_USER or ROLE_ASSISTANT")
        if message.role == pb.ROLE_SYSTEM and index:
            raise errors.InvalidArgument.field(f"{field}.role", "may be ROLE_SYSTEM in the first message only")
        found.append(Message(_ROLES[message.role], require_text(f"{field}.content", message.content)))
    if found[-1].role != "user":
        raise errors.InvalidArgument.field(f"messages[{len(found) - 1}].role", "is ROLE_USER in the last message")
    return tuple(found)


def _passages(passages: Sequence[text_pb2.Passage], *, low: int) -> tuple[Passage, ...]:
    require_count("passages", passages, low=low, high=MAX_PASSAGES, things="passages")
    found: dict[str, Passage] = {}
    for index, passage in enumerate(passages):
        name = passage.id or str(index + 1)
        if len(name) > _MAX_ID_CHARACTERS:
            raise errors.InvalidArgument.field(
                f"passages[{index}].id", f"takes at most {_MAX_ID_CHARACTERS} characters"
            )
        if name in found:
            raise errors.InvalidArgument.field(f"passages[{index}].id", "is that of another passage")
        found[name] = Passage(name, require_text(f"passages[{index}].content", passage.content))
    return tuple(found.values())


def _canned(index: int, canned: pb.CannedReply) -> Canned:
    field = f"canned_replies[{index}]"
    return Canned(
        require_text(f"{field}.question", canned.question, max_bytes=_MAX_QUESTION_BYTES),
        require_text(f"{field}.reply", canned.reply),
    )


def _response(request: pb.GenerateReplyRequest, reply: Reply) -> pb.GenerateReplyResponse:
    return pb.GenerateReplyResponse(
        reply=reply.text,
        finish_reason=_REASONS.get(reply.finish_reason, pb.FINISH_REASON_UNSPECIFIED),
        usage=token_usage(reply.usage),
        grounding=_GROUNDINGS[reply.grounding],
        citations=_citations(reply.cited, _passages(request.passages, low=0), request.encoding_type),
        canned_match=pb.CannedMatch(index=reply.canned.index, score=reply.canned.score) if reply.canned else None,
        model=reply.model,
        request_id=request.request_id,
    )


def _answer(
    found: Grounded | errors.MeshError,
    model: str,
    passages: Sequence[Passage],
    encoding: text_pb2.EncodingType.ValueType,
) -> pb.QuestionAnswer:
    if isinstance(found, errors.MeshError):
        return pb.QuestionAnswer(status=to_status(found))
    return pb.QuestionAnswer(
        answered=bool(found.cited),
        answer=found.text,
        supports=_citations(found.cited, passages, encoding),
        score=found.score,
        model=model,
        usage=token_usage(found.usage),
    )


def _citations(
    cited: Sequence[Cited], passages: Sequence[Passage], encoding: text_pb2.EncodingType.ValueType
) -> list[pb.Citation]:
    return [
        pb.Citation(
            passage_id=passages[each.evidence.passage].id,
            span=Offsets(passages[each.evidence.passage].content, encoding).span(
                each.evidence.begin, each.evidence.end
            ),
            score=each.score,
        )
        for each in cited
    ]
