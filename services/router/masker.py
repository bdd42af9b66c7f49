"""Masks texts by what NlpService/AnalyzeEntities finds in them (services.router.pipelines.plan.Masker)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc, text_pb2
from services.mesh import client, errors
from services.mesh.deadline import Deadline
from services.mesh.status import from_status
from services.router.pipelines.plan import Masked, Run
from services.router.upstreams import Upstream

SERVICE = "maas.nlp.v1.NlpService"
_METHOD = f"{SERVICE}/AnalyzeEntities"
# What AnalyzeEntities takes.
_MAX_PIECES, _MAX_PIECE_BYTES = 64, 8192
_MARK = re.compile(r"\[([A-Z_]+)_(\d+)\]")


class EntityMasker:
    """Masks texts. What AnalyzeEntities does not find stays: names only in the languages that it knows."""

    def __init__(self, nlp: Upstream) -> None:
        self._stub = nlp_pb2_grpc.NlpServiceStub(nlp.channel)

    async def mask(self, text: str, types: tuple[str, ...], language_code: str, deadline: Deadline, run: Run) -> Masked:  # noqa: ARG002 - as the port has it
        """Replace what is of these types by marks. Raises MeshError for a text that cannot be searched."""
        pieces = list(_pieces(text))
        if not pieces:
            return Masked(text, {})
        if len(pieces) > _MAX_PIECES:
            raise errors.InvalidArgument(f"a text to be masked has {_MAX_PIECES * _MAX_PIECE_BYTES} bytes at most")
        request = nlp_pb2.AnalyzeEntitiesRequest(
            contents=pieces,
            language_code=language_code,
            types=[nlp_pb2.EntityType.Value(f"ENTITY_TYPE_{name}") for name in types],
            encoding_type=text_pb2.ENCODING_TYPE_UTF32,
        )
        answer = await client.call(self._stub.AnalyzeEntities, request, method=_METHOD, deadline=deadline)
        marks = _Marks(text)
        masked = []
        for piece, result in zip(pieces, answer.results, strict=True):
            if result.HasField("status"):
                raise from_status(result.status)
            masked.append(marks.put(piece, result.entities))
        return Masked("".join(masked), marks.originals)


class _Marks:
    """Marks that do not stand in a text already, equal ones for equal things."""

    def __init__(self, text: str) -> None:
        taken = [int(number) for _, number in _MARK.findall(text)]
        self._next = max(taken, default=0) + 1
        self._by_original: dict[tuple[str, str], str] = {}
        self.originals: dict[str, str] = {}

    def put(self, text: str, entities: Iterable[nlp_pb2.Entity]) -> str:
        """The text with marks; of things that overlap the first and longest is masked."""
        out, at = [], 0
        for entity in sorted(entities, key=lambda each: (each.span.begin_offset, -each.span.end_offset)):
            begin, end = entity.span.begin_offset, entity.span.end_offset
            if begin >= at:
                out += [text[at:begin], self._mark(nlp_pb2.EntityType.Name(entity.type), text[begin:end])]
            at = max(at, end)
        return "".join([*out, text[at:]])

    def _mark(self, kind: str, original: str) -> str:
        key = (kind, original)
        if key not in self._by_original:
            mark = f"[{kind.removeprefix('ENTITY_TYPE_')}_{self._next}]"
            self._next += 1
            self._by_original[key] = mark
            self.originals[mark] = original
        return self._by_original[key]


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that AnalyzeEntities takes, cut at white space where there is some."""
    while len(text.encode()) > _MAX_PIECE_BYTES:
        head = text.encode()[:_MAX_PIECE_BYTES].decode(errors="ignore")
        cut = max(head.rfind(" "), head.rfind("\n")) + 1 or len(head)
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text
