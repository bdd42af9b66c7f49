"""`maas nlp chat`."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterator

import grpc
import pytest
from google.rpc.status_pb2 import Status

from maas.nlp.v1 import conversation_pb2 as pb
from services.cli.nlp import chat, written
from tests.unit.cli.fakes import FakeMesh, Maas


def echo(request: pb.StreamGenerateReplyRequest, _: grpc.ServicerContext) -> Iterator[pb.StreamGenerateReplyResponse]:
    """Reply, in two pieces, to the last message with itself."""
    said = request.request.messages[-1].content
    yield pb.StreamGenerateReplyResponse(delta="You said ")
    yield pb.StreamGenerateReplyResponse(delta=said)
    yield pb.StreamGenerateReplyResponse(response=pb.GenerateReplyResponse(reply=f"You said {said}", model="parrot"))


def contents(mesh: FakeMesh) -> list[list[str]]:
    """What each call sent of the conversation."""
    return [[message.content for message in call.request.messages] for call in mesh.requests]


def test_each_line_is_answered_with_what_was_said_before(mesh: FakeMesh, maas: Maas):
    """A line in, a reply out, until the end of input; each call has the whole conversation, the system's word first."""
    mesh.replies["StreamGenerateReply"] = echo
    result = maas("nlp", "chat", "--system", "Be brief.", "--max-tokens", "9", stdin="one\n\ntwo\n")
    assert (result.exit_code, result.stdout) == (0, "You said one\nYou said two\n")
    assert result.stderr.splitlines() == ["by parrot"] * 2
    assert contents(mesh) == [["Be brief.", "one"], ["Be brief.", "one", "You said one", "two"]]
    assert mesh.requests[0].request.parameters.max_tokens == 9


def test_json_is_a_line_a_piece(mesh: FakeMesh, maas: Maas):
    """With --json each piece is a line of JSON, and nothing else is printed."""
    mesh.replies["StreamGenerateReply"] = echo
    printed = [json.loads(line) for line in maas("nlp", "chat", "--json", stdin="one\n").stdout.splitlines()]
    assert printed[:2] == [{"delta": "You said "}, {"delta": "one"}]
    assert printed[2]["response"]["reply"] == "You said one"


def test_ctrl_c_stops_the_reply_and_not_the_chat(mesh: FakeMesh, maas: Maas, monkeypatch: pytest.MonkeyPatch):
    """What was written until Ctrl-C is part of the conversation, which goes on."""
    mesh.replies["StreamGenerateReply"] = echo

    really_print = builtins.print

    def print_until_ctrl_c(*told: str, **options: str) -> None:
        really_print(*told, **options)
        if told == ("You said ",) and len(mesh.requests) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(written, "print", print_until_ctrl_c, raising=False)
    result = maas("nlp", "chat", stdin="one\ntwo\n")
    assert (result.exit_code, result.stdout) == (0, "You said \nYou said two\n")
    assert result.stderr.splitlines() == ["stopped", "by parrot"]
    assert contents(mesh)[1] == ["one", "You said ", "two"]


def test_a_failure_ends_a_script(mesh: FakeMesh, maas: Maas):
    """Where nobody looks on, the first call that fails ends the chat with 1."""
    mesh.replies["StreamGenerateReply"] = [Status(code=14, message="the model is loading")]
    result = maas("nlp", "chat", stdin="one\ntwo\n")
    assert (result.exit_code, len(mesh.requests)) == (1, 1)
    assert "UNAVAILABLE: the model is loading" in result.stderr


def test_a_failure_does_not_end_a_persons_chat(mesh: FakeMesh, maas: Maas, monkeypatch: pytest.MonkeyPatch):
    """A person sees what failed and can go on; the message that failed is not sent again."""
    answers = iter([[Status(code=14, message="the model is loading")], None])

    def first_fails(request: pb.StreamGenerateReplyRequest, context: grpc.ServicerContext) -> Iterator[object]:
        return iter(next(answers) or list(echo(request, context)))

    mesh.replies["StreamGenerateReply"] = first_fails
    monkeypatch.setattr(chat, "_looks_on", lambda: True)
    result = maas("nlp", "chat", stdin="one\ntwo\n")
    assert result.exit_code == 0
    assert "UNAVAILABLE: the model is loading" in result.stderr
    assert "Ctrl-C stops a reply, Ctrl-D ends." in result.stderr
    assert contents(mesh) == [["one"], ["two"]]


def said(*lengths: int) -> list[pb.ChatMessage]:
    """Messages of these lengths, by the user and the assistant in turn."""
    roles = (pb.ROLE_USER, pb.ROLE_ASSISTANT)
    return [pb.ChatMessage(role=roles[turn % 2], content="x" * length) for turn, length in enumerate(lengths)]


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [
        ([10] * 5, 5),
        ([10] * 41, 19),
        ([2000] * 5, 3),
        ([10, 5000, 10, 2000, 10], 3),
        ([10, 10, 9000], 1),
        ([10, 9000, 10], 1),
    ],
)
def test_a_conversation_is_bounded(lengths: list[int], kept: int):
    """Of a long conversation the latest messages are sent, from one of the user on; the last one always."""
    messages = said(*lengths)
    assert chat.recent(messages) == messages[-kept:]
    assert chat.recent(messages)[0].role == pb.ROLE_USER
