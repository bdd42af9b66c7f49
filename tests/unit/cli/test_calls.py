"""What every call of the command has in common: JSON, errors, exit codes, traces."""

from __future__ import annotations

import _thread
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from maas.nlp.v1 import nlp_pb2
from maas.preprocessing.v1 import preprocessing_pb2
from maas.router.v1 import router_pb2
from maas.speech.v1 import speech_pb2
from maas.vision.v1 import vision_pb2
from services.cli import traces
from services.mesh import errors
from services.mesh.status import to_status
from tests.unit.cli.commands import COMMANDS, CONVERSATIONS, METHODS, STREAMS, WRITTEN, method_of
from tests.unit.cli.fakes import FakeMesh, Maas


def typed(command: str, folder: Path, content: bytes = b"some bytes") -> list[str]:
    """The command's arguments, with a file of that content and a place for what is written."""
    (folder / "file").write_bytes(content)
    places = {"FILE": str(folder / "file"), "OUT": str(folder / "out.png")}
    return [places.get(part, part.replace("FILE", places["FILE"])) for part in command.split()]


def test_every_method_of_the_contracts_has_a_command():
    """No RPC of the mesh is out of the command's reach."""
    modules = (nlp_pb2, preprocessing_pb2, router_pb2, speech_pb2, vision_pb2)
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    streamed = {method for method, _ in [*STREAMS.values(), *CONVERSATIONS.values()]}
    assert {name for service in services for name in service.methods_by_name} == {
        *METHODS.values(),
        *WRITTEN.values(),
        *streamed,
    }


@pytest.mark.parametrize(("command", "answer"), COMMANDS, ids=[command for command, *_ in COMMANDS])
def test_json_is_the_protobuf_json_and_nothing_else(
    mesh: FakeMesh, maas: Maas, tmp_path: Path, command: str, answer: Message
):
    """With --json standard output is the answer's protobuf JSON, zeros present; without, it has a form for people."""
    arguments = typed(command, tmp_path)
    mesh.replies[method_of(command)] = answer
    result = maas(*arguments, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        MessageToDict(answer, always_print_fields_with_no_presence=True),
    )
    if command == "speech speak hello":
        arguments += ["--out", str(tmp_path / "out.wav")]
    result = maas(*arguments)
    assert result.exit_code == 0
    assert result.stdout.strip()
    assert not result.stdout.startswith("{")


@pytest.mark.parametrize("command", [command for command, *_ in COMMANDS])
def test_a_failed_call_is_explained_and_ends_with_1(mesh: FakeMesh, maas: Maas, tmp_path: Path, command: str):
    """Any command whose call fails prints code and message on standard error, nothing on standard output."""
    arguments = typed(command, tmp_path)
    mesh.replies[method_of(command)] = Status(code=5, message="no model is called 'x'; there are: y")
    result = maas(*arguments, *(["--json"] if command == "speech speak hello" else []))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "NOT_FOUND: no model is called 'x'; there are: y" in result.stderr


@pytest.mark.parametrize("command", STREAMS)
def test_a_stream_is_printed_as_it_comes(mesh: FakeMesh, maas: Maas, command: str):
    """Pieces become one text; with --json each answer is a line of protobuf JSON."""
    method, answers = STREAMS[command]
    mesh.replies[method] = answers
    assert maas(*command.split()).stdout == "Hello!\n"
    printed = [json.loads(line) for line in maas(*command.split(), "--json").stdout.splitlines()]
    assert printed == [MessageToDict(each, always_print_fields_with_no_presence=True) for each in answers]


@pytest.mark.parametrize("command", STREAMS)
def test_a_stream_that_breaks_off_is_explained(mesh: FakeMesh, maas: Maas, command: str):
    """What came before the failure stays on its own line; code and message follow, and the exit code is 1."""
    method, answers = STREAMS[command]
    mesh.replies[method] = [answers[0], Status(code=14, message="the model went away")]
    mesh.trace_id = "0af7651916cd43dd8448eb211c80319c"
    result = maas(*command.split())
    assert (result.exit_code, result.stdout) == (1, "Hel\n")
    assert "UNAVAILABLE: the model went away" in result.stderr
    assert f"trace {mesh.trace_id}" in result.stderr


@pytest.mark.parametrize("command", CONVERSATIONS)
def test_a_file_is_sent_in_chunks_while_answers_come(mesh: FakeMesh, maas: Maas, tmp_path: Path, command: str):
    """The configuration goes first, then the file in order; each answer is told, with --json as a line."""
    content = bytes(range(256)) * 2000
    arguments = typed(command, tmp_path, content)
    method, answers = CONVERSATIONS[command]
    mesh.replies[method] = answers
    result = maas(*arguments)
    assert (result.exit_code, "0:02." in result.stdout) == (0, True)
    first, *rest = mesh.requests
    assert first.HasField("config")
    assert b"".join(_bytes(each) for each in rest) == content
    assert max(len(_bytes(each)) for each in rest) <= 1024 * 1024
    printed = [json.loads(line) for line in maas(*arguments, "--json").stdout.splitlines()]
    assert printed == [MessageToDict(each, always_print_fields_with_no_presence=True) for each in answers]


def _bytes(request: Message) -> bytes:
    return request.audio_content if "audio_content" in request.DESCRIPTOR.fields_by_name else request.content


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C counts, also where the tests run in the background of a shell that has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("command", STREAMS)
def test_ctrl_c_cancels_a_stream(mesh: FakeMesh, maas: Maas, command: str):
    """Ctrl-C while a stream runs cancels the call at the server and ends the command with code 130."""
    method, answers = STREAMS[command]
    cancelled = threading.Event()

    def endless(_: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        context.add_callback(cancelled.set)
        yield answers[0]
        _thread.interrupt_main()
        cancelled.wait(10)

    mesh.replies[method] = endless
    result = maas(*command.split())
    assert (result.exit_code, "stopped" in result.stderr) == (130, True)
    assert cancelled.wait(10)


def test_a_stream_tells_when_its_first_piece_came(mesh: FakeMesh, maas: Maas):
    """The line below a stream has the time to the first piece beside that of the whole."""
    mesh.replies["StreamGenerateReply"] = STREAMS["nlp reply hello --stream"][1]
    assert re.search(
        r"StreamGenerateReply · \S+ m?s · the first piece after", maas("nlp", "reply", "hi", "--stream").stderr
    )


def test_the_wrong_field_is_named(mesh: FakeMesh, maas: Maas):
    """INVALID_ARGUMENT shows each violated field with its rule; a rule that the message told is not repeated."""
    error = errors.InvalidArgument(
        "two fields are wrong",
        violations=[errors.Violation("contents[3]", "is empty"), errors.Violation("model", "is too long")],
    )
    mesh.replies["AnalyzeSentiment"] = to_status(error)
    result = maas("nlp", "sentiment", "hello")
    assert result.exit_code == 1
    assert "INVALID_ARGUMENT: two fields are wrong" in result.stderr
    assert "field: contents[3]: is empty" in result.stderr
    assert "field: model: is too long" in result.stderr
    mesh.replies["AnalyzeSentiment"] = to_status(errors.InvalidArgument.field("contents", "takes 1 to 64 texts"))
    assert maas("nlp", "sentiment", "hello").stderr.count("takes 1 to 64 texts") == 1


def test_when_to_try_again_is_told(mesh: FakeMesh, maas: Maas):
    """RetryInfo becomes a sentence with its seconds, and the reason is named when it says more than the code."""
    mesh.replies["AnalyzeSentiment"] = to_status(
        errors.Unavailable("the model is loading", reason="MODEL_LOADING", retry_after_seconds=1.5)
    )
    result = maas("nlp", "sentiment", "hello")
    assert result.exit_code == 1
    assert "UNAVAILABLE: the model is loading" in result.stderr
    assert "retry: the same call may succeed in 1.5 s" in result.stderr
    assert "reason: MODEL_LOADING" in result.stderr


def test_a_closed_port_says_what_to_start(maas: Maas, unused_address: str):
    """Where nothing listens, the command says so and how to start the mesh."""
    result = maas("models", "--address", unused_address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"nothing listens on {unused_address}; start the mesh with: maas up" in result.stderr


def hang_up(server: socket.socket) -> None:
    """Take a connection and end it."""
    server.accept()[0].close()


def test_a_port_of_something_else_is_told(maas: Maas):
    """Where something listens that does not speak gRPC, the command says that this is not the mesh."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        result = maas("models", "--address", address)
    assert result.exit_code == 1
    assert f"what listens on {address} does not answer gRPC" in result.stderr


def test_unavailable_behind_an_open_port_keeps_its_own_message(mesh: FakeMesh, maas: Maas):
    """A gateway without healthy backends is not mistaken for a mesh that is down."""

    def no_backend(_: Message, context: grpc.ServicerContext) -> Message:
        context.abort(grpc.StatusCode.UNAVAILABLE, "no healthy upstream")

    mesh.replies["ListCapabilities"] = no_backend
    result = maas("models")
    assert result.exit_code == 1
    assert "UNAVAILABLE: no healthy upstream" in result.stderr
    assert "maas up" not in result.stderr


def test_the_time_out_is_the_deadline_of_the_call(mesh: FakeMesh, maas: Maas):
    """--timeout reaches the server as the call's deadline, and its passing is explained with the option's name."""
    remaining: list[float] = []
    done = threading.Event()

    def never(_: Message, context: grpc.ServicerContext) -> Message:
        remaining.append(context.time_remaining())
        context.add_callback(done.set)
        done.wait(10)
        return router_pb2.ListCapabilitiesResponse()

    mesh.replies["ListCapabilities"] = never
    result = maas("models", "--timeout", "0.3")
    assert result.exit_code == 1
    assert "DEADLINE_EXCEEDED" in result.stderr
    assert "within 0.3 s; --timeout gives it more" in result.stderr
    assert 0 < remaining[0] <= 0.3


@pytest.mark.parametrize(
    "arguments",
    [
        ["vision", "classify", "no-such.jpg"],
        ["nlp", "sentiment"],
        ["nlp", "sentiment", "-", "--file", "-"],
        ["nlp", "sentiment", "--file", "no-such.txt"],
        ["nlp", "judge", "hello"],
        ["nlp", "entities", "hello", "--type", "animal"],
        ["nlp", "translate", "hello"],
        ["nlp", "translate", "hello", "--to", "zh", "--glossary", "hello"],
        ["nlp", "summarize", "one", "two", "--stream"],
        ["nlp", "ask", "hello"],
        ["nlp", "ask", "hello", "--passage", "no-such.txt"],
        ["nlp", "reply"],
        ["nlp", "reply", "one", "two", "--stream"],
        ["nlp", "reply", "hello", "--canned", "no-such.csv"],
        ["sing"],
        ["models", "--address", "http://127.0.0.1:8080"],
        ["models", "--address", "localhost"],
        ["speech", "speak", "hello"],
        ["speech", "speak", "hello", "--out", "hello.txt"],
        ["speech", "speak", "hello", "--out", "-", "--json"],
        ["speech", "transcribe", "no-such.wav"],
        ["speech", "transcribe", "-"],
        ["speech", "command", __file__],
        ["speech", "command", __file__, "--command", "stop"],
        ["speech", "command", __file__, "--command", "stop:stop", "--slot", "n"],
        ["speech", "command", __file__, "--grammar", "no-such.yaml"],
        ["speech", "speaker", "verify", __file__],
        ["graph", "run", "look-twice", "--input", "photo=@no-such.jpg"],
        ["graph", "run", "look-twice", "--input", "photo"],
        ["graph", "run", "look-twice", "--input", "n:={"],
        ["graph", "run", "look-twice", "--input", "n=1", "--input", "n=2"],
        ["graph", "run", "look-twice", "--save", "audio"],
        ["graph", "validate", "no-such.yaml"],
        ["graph", "create", "no-such.yaml"],
        ["graph", "show", "no-such.yaml"],
        ["graph", "traffic", "set"],
        ["graph", "traffic", "set", "shout", "--share", "v"],
        ["graph", "traffic", "set", "shout", "--agreement", "true"],
        ["graph", "traffic", "set", "shout", "--step", "0.1"],
        ["graph", "traffic", "set", "--file", __file__],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_calls_nothing(mesh: FakeMesh, maas: Maas, arguments: list[str]):
    """A missing file, argument or command and a malformed value are wrong usage: code 2, told on standard error."""
    result = maas(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error" in result.stderr
    assert mesh.requests == []


@pytest.mark.parametrize("reply", [router_pb2.ListCapabilitiesResponse(), Status(code=5, message="gone")])
def test_the_trace_is_told(mesh: FakeMesh, maas: Maas, reply: router_pb2.ListCapabilitiesResponse | Status):
    """The trace id that the gateway answers with is printed on standard error, of failed calls too."""
    mesh.replies["ListCapabilities"] = reply
    mesh.trace_id = "0af7651916cd43dd8448eb211c80319c"
    assert f"trace {mesh.trace_id}" in maas("models").stderr


def test_without_a_trace_none_is_told(mesh: FakeMesh, maas: Maas):
    """A mesh that records no traces has none to show."""
    mesh.replies["ListCapabilities"] = router_pb2.ListCapabilitiesResponse()
    result = maas("models")
    assert "ListCapabilities" in result.stderr
    assert "trace" not in result.stderr
    assert "traceparent" not in mesh.metadata[0]


def test_a_tracing_ui_that_answers_is_linked(monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, maas: Maas):
    """With the tracing UI up beside the mesh, the trace is printed as a link that opens it."""
    asked: list[str] = []

    class Ui(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ui)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(traces, "ui_port", lambda _: server.server_port)
    mesh.replies["ListCapabilities"] = router_pb2.ListCapabilitiesResponse()
    mesh.trace_id = "0af7651916cd43dd8448eb211c80319c"
    try:
        result = maas("models")
    finally:
        server.shutdown()
        server.server_close()
    assert f"http://127.0.0.1:{server.server_port}/#trace={mesh.trace_id}" in result.stderr
    assert asked == ["/healthz"]


def test_a_mesh_elsewhere_is_not_asked_for_its_ui():
    """The tracing UI is a local thing: for an address of another machine none is looked for."""
    assert traces.ui_of("mesh.example.com:8080") == ""
