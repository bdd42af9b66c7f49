"""`maas nlp reply`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from maas.nlp.v1 import conversation_pb2 as conversation
from tests.unit.cli.fakes import FakeMesh, Maas

FAILED = {"status": {"code": 3, "message": "must not be empty"}}


def told(output: str) -> list[str]:
    """The lines that were printed, without the last, which has time and trace."""
    return output.splitlines()[:-1]


REPLY = {
    "reply": "We close at six.",
    "finishReason": "FINISH_REASON_LENGTH",
    "usage": {"inputTokens": 40, "outputTokens": 6},
    "grounding": "GROUNDING_SUPPORTED",
    "citations": [{"passageId": "1", "span": {"content": "open until 6 p.m."}, "score": 0.7}],
    "model": "qwen",
}
REPLY_REMARKS = [
    "it was cut at the most tokens; --max-tokens allows more",
    '  1: "open until 6 p.m."  0.70',
    "by qwen · 40 tokens read, 6 written",
]


@pytest.mark.parametrize("options", [["--stream"], ["--no-stream"], []])
def test_a_reply_and_what_it_rests_on(mesh: FakeMesh, maas: Maas, options: list[str]):
    """Standard output has the reply; passages with their words and whatever limits it come after, streamed or not."""
    whole = ParseDict(REPLY, conversation.GenerateReplyResponse())
    mesh.replies["GenerateReply"] = whole
    mesh.replies["StreamGenerateReply"] = [
        conversation.StreamGenerateReplyResponse(delta=REPLY["reply"]),
        conversation.StreamGenerateReplyResponse(response=whole),
    ]
    result = maas("nlp", "reply", "When?", "--passage-text", "We are open until 6 p.m.", *options)
    assert (result.stdout, told(result.stderr)) == ("We close at six.\n", REPLY_REMARKS)


def test_several_messages_are_answered_in_one_call(mesh: FakeMesh, maas: Maas):
    """Each message has its own reply, a blank line between two; one that failed says why."""
    mesh.replies["BatchGenerateReply"] = ParseDict(
        {"results": [{"response": {"reply": "A.", "model": "m"}}, FAILED]}, conversation.BatchGenerateReplyResponse()
    )
    result = maas("nlp", "reply", "one", "two", "--system", "Be brief.")
    assert (result.stdout, told(result.stderr)) == ("A.\n\n\n", ["1: by m", "2: failed: must not be empty"])
    [first, second] = mesh.requests[0].requests
    assert [message.content for message in first.messages] == ["Be brief.", "one"]
    assert [message.content for message in second.messages] == ["Be brief.", "two"]


def test_how_the_model_writes_is_sent(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """Every option of generation reaches the service; a temperature of 0 and a seed of 0 are said, not left open."""
    mesh.replies["GenerateReply"] = conversation.GenerateReplyResponse()
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    how = ("--max-tokens", "9", "--temperature", "0", "--top-p", "0.5", "--seed", "0", "--stop", "A", "--stop", "B")
    maas("nlp", "reply", "hello", *how, "--schema", str(tmp_path / "schema.json"))
    maas("nlp", "reply", "hello")
    given, left_open = (request.parameters for request in mesh.requests)
    assert given == conversation.GenerationParameters(
        max_tokens=9,
        temperature=0,
        top_p=0.5,
        seed=0,
        stop_sequences=["A", "B"],
        response_json_schema='{"type": "object"}',
    )
    assert not left_open.HasField("temperature")
    assert not left_open.HasField("seed")


SAID = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi!"}]


@pytest.mark.parametrize(
    "file",
    [
        json.dumps(SAID),
        json.dumps({"messages": SAID}),
        "- {role: user, content: Hello}\n- {role: assistant, content: Hi!}",
    ],
    ids=["json", "object", "yaml"],
)
def test_a_conversation_comes_from_a_file(mesh: FakeMesh, maas: Maas, tmp_path: Path, file: str):
    """JSON or YAML has what was said before; a message goes after it, the system's before."""
    mesh.replies["GenerateReply"] = conversation.GenerateReplyResponse()
    (tmp_path / "said").write_text(file)
    maas("nlp", "reply", "How are you?", "--conversation", str(tmp_path / "said"), "--system", "Be kind.")
    maas("nlp", "reply", "--conversation", str(tmp_path / "said"))
    names = conversation.Role.Name
    assert [(names(each.role)[5:].lower(), each.content) for each in mesh.requests[0].messages] == [
        ("system", "Be kind."),
        ("user", "Hello"),
        ("assistant", "Hi!"),
        ("user", "How are you?"),
    ]
    assert [each.content for each in mesh.requests[1].messages] == ["Hello", "Hi!"]


@pytest.mark.parametrize(
    "file",
    ["- role: user", "hello", "7", "", "- {role: judge, content: hello}", "- {role: user, content: 7}", "{", "\t- x"],
)
def test_a_file_that_is_no_conversation_is_told(mesh: FakeMesh, maas: Maas, tmp_path: Path, file: str):
    """What has no messages with role and content is wrong usage that says what it takes."""
    (tmp_path / "said.yaml").write_text(file)
    result = maas("nlp", "reply", "--conversation", str(tmp_path / "said.yaml"))
    shown = " ".join(result.stderr.replace("│", "").split())
    assert result.exit_code == 2
    assert "takes a list of messages, each with a role" in shown or "is neither YAML nor JSON in line" in shown
    assert mesh.requests == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("faq.csv", '\ufeffquestion,reply\n"When, exactly?","At six."\n'),
        ("faq.yaml", "- question: When, exactly?\n  reply: At six.\n"),
        ("faq.yaml", '"When, exactly?": At six.\n'),
        ("faq.json", '{"When, exactly?": "At six."}'),
    ],
)
def test_canned_replies_come_from_a_file(mesh: FakeMesh, maas: Maas, tmp_path: Path, name: str, file: str):
    """CSV, YAML or JSON has the prepared replies; the one that was taken is named."""
    (tmp_path / name).write_text(file, encoding="utf-8")
    mesh.replies["GenerateReply"] = ParseDict(
        {"reply": "At six.", "cannedMatch": {"score": 0.93}, "model": "e5"}, conversation.GenerateReplyResponse()
    )
    result = maas("nlp", "reply", "When?", "--canned", str(tmp_path / name), "--canned-only")
    assert told(result.stderr) == ["prepared reply 1, 0.93 alike", "by e5"]
    [request] = mesh.requests
    assert [(each.question, each.reply) for each in request.canned_replies] == [("When, exactly?", "At six.")]
    assert request.canned_reply_mode == conversation.CANNED_REPLY_MODE_ONLY


@pytest.mark.parametrize(
    ("name", "file"),
    [("faq.csv", "a,b\n1,2\n"), ("faq.csv", "question,reply\nWhen?\n"), ("faq.yaml", "- When?"), ("faq.yaml", "")],
)
def test_a_file_without_canned_replies_is_told(mesh: FakeMesh, maas: Maas, tmp_path: Path, name: str, file: str):
    """A file without questions and replies is wrong usage that says what it takes."""
    (tmp_path / name).write_text(file)
    result = maas("nlp", "reply", "When?", "--canned", str(tmp_path / name))
    assert result.exit_code == 2
    assert "takes questions, each with a reply" in " ".join(result.stderr.replace("│", "").split())


def test_no_reply_is_told(mesh: FakeMesh, maas: Maas):
    """No prepared reply that fits, and passages without the answer, are said in words."""
    mesh.replies["GenerateReply"] = conversation.GenerateReplyResponse()
    assert "no prepared reply fits" in maas("nlp", "reply", "When?").stderr
    mesh.replies["GenerateReply"] = conversation.GenerateReplyResponse(
        reply="I do not know.", grounding=conversation.GROUNDING_NOT_IN_PASSAGES
    )
    assert "the passages do not contain the answer" in maas("nlp", "reply", "When?").stderr
