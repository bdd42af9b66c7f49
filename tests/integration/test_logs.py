"""The logs of a service that runs as a process, as an operator sees them."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest
from pydantic import SecretStr

from deploy.local.settings import REPOSITORY
from maas.router.v1 import graph_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh.settings import ServiceSettings
from services.models.settings import Settings as ModelsSettings
from services.nlp.settings import Settings as NlpSettings
from services.preprocessing.settings import Settings as PreprocessingSettings
from services.router.settings import Settings as RouterSettings
from services.speech.settings import Settings as SpeechSettings
from services.vision.settings import Settings as VisionSettings

SETTINGS: list[type[ServiceSettings]] = [
    ModelsSettings,
    NlpSettings,
    PreprocessingSettings,
    RouterSettings,
    SpeechSettings,
    VisionSettings,
]
CANARY = "Canary-4711"
CHANGED = "the log has another level"


class Running:
    """The router as a process."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.text = ""

    def read(self, stream: int) -> None:
        """Take what it writes until it ends, which is an error on a terminal."""
        try:
            while written := os.read(stream, 65536):
                self.text += written.decode()
        except OSError:
            pass

    @property
    def lines(self) -> list[dict[str, object]]:
        """What was written until now, each line JSON."""
        whole, _, _ = self.text.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds; half a minute at most."""
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, f"{what} never came; the log:\n{self.text}"
            time.sleep(0.05)

    def says(self, event: str) -> list[dict[str, object]]:
        """The lines of an event."""
        return [line for line in self.lines if line["event"] == event]

    def graphs(self, request: pb.ListGraphsRequest | pb.GetGraphRequest, **metadata: str) -> None:
        """Ask for graphs, waiting until it listens."""
        with grpc.insecure_channel(self._address) as channel:
            stub = router_pb2_grpc.RouterServiceStub(channel)
            ask = stub.GetGraph if isinstance(request, pb.GetGraphRequest) else stub.ListGraphs
            ask(request, timeout=20, wait_for_ready=True, metadata=list(metadata.items()))


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def router(*, terminal: bool = False, **settings: str) -> Iterator[Running]:
    """A router whose services are away. settings: without their prefix."""
    address = _free_address()
    away = [name for name in RouterSettings.model_fields if name.endswith("_address")]
    environment = {
        **os.environ,
        **{f"ROUTER_{name.upper()}": "127.0.0.1:1" for name in away},
        "ROUTER_LISTEN_ADDRESS": address,
        "ROUTER_METRICS_ADDRESS": _free_address(),
        "ROUTER_DRAIN_SECONDS": "1",
        "GRPC_VERBOSITY": "ERROR",
        **{f"ROUTER_{name}": value for name, value in settings.items()},
    }
    reading, writing = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "services.router"], env=environment, cwd=REPOSITORY, stderr=writing, stdout=writing
    ) as process:
        os.close(writing)
        running = Running(address)
        reader = threading.Thread(target=running.read, args=(reading,))
        reader.start()
        try:
            yield running
        finally:
            process.terminate()
            process.wait(20)
            reader.join()
            os.close(reading)


def test_a_call_is_one_line_of_json():
    """With method, code, reason, time, sizes and the caller's trace id; and nothing that the caller sent."""
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    request = pb.GetGraphRequest(name=CANARY)
    with router() as running:
        with pytest.raises(grpc.RpcError):
            running.graphs(request, traceparent=f"00-{trace_id}-b7ad6b7169203331-00", canary=CANARY)
        running.wait_for(lambda: bool(running.says("call")), "the line")
    (line,) = running.says("call")
    assert line["method"] == "maas.router.v1.RouterService/GetGraph"
    assert (line["code"], line["reason"], line["level"]) == ("NOT_FOUND", "GRAPH_NOT_FOUND", "info")
    assert (line["trace_id"], line["service"]) == (trace_id, "router")
    assert (line["bytes_in"], line["bytes_out"]) == (request.ByteSize(), 0)
    assert CANARY not in running.text
    assert all(line.startswith("{") for line in running.text.splitlines())


def test_on_a_terminal_logs_are_for_people():
    """A terminal gets text in columns, a file or pipe JSON, unless the setting says which."""
    with router(terminal=True) as running:
        running.wait_for(lambda: "serving" in running.text, "the start")
        assert "{" not in running.text
    with router(terminal=True, LOG_FORMAT="json") as running:
        running.wait_for(lambda: bool(running.says("serving")), "the start")


def test_the_level_changes_while_it_runs(tmp_path):
    """What the file names counts within seconds, without a restart; without the file the setting counts again."""
    file = tmp_path / "level"
    ask = pb.ListGraphsRequest()
    with router(LOG_LEVEL="warning", LOG_LEVEL_FILE=str(file)) as running:
        running.graphs(ask)
        assert running.text == ""
        file.write_text("debug\n")
        running.wait_for(lambda: bool(running.says(CHANGED)), "the change")
        running.graphs(ask)
        running.wait_for(lambda: bool(running.says("call")), "the line of the second call")
        file.write_text("loud\n")
        running.wait_for(lambda: bool(running.says("the file of the log's level names none")), "the warning")
        file.unlink()
        running.wait_for(lambda: len(running.says(CHANGED)) == 2, "the change back")
        running.graphs(ask)
    assert [line["now"] for line in running.says(CHANGED)] == ["debug", "warning"]
    assert len(running.says("call")) == 1


def test_secrets_are_not_shown():
    """At level debug a service tells its settings when it starts, and those that are secret as stars."""
    store = f"postgresql://someone:{CANARY}@127.0.0.1:1/nowhere"
    with router(LOG_LEVEL="debug", STORE_URL=store) as running:
        running.wait_for(lambda: bool(running.says("settings")), "the settings")
        running.wait_for(lambda: len(running.lines) > 3, "that the store is away")
    (line,) = running.says("settings")
    assert line["store_url"] == "**********"
    assert CANARY not in running.text


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_may_hold_a_secret_is_one(settings):
    """Every setting whose name tells that it holds a key, a password, a token or the address of a database."""
    names = ("key", "password", "secret", "token", "store_url", "gallery_url")
    telling = [
        (name, field.annotation)
        for name, field in settings.model_fields.items()
        if name.endswith(names) and not name.endswith("_file")
    ]
    assert all(kind is SecretStr for _, kind in telling), telling
