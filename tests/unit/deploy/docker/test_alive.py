"""The probe of Triton's liveness is fooled neither by a server that hangs nor by one that answers anything."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.docker import alive


@pytest.fixture
def triton():
    """Stands in for Triton's HTTP endpoint; `answer` takes the value that it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = self.server.answer(asked["inputs"][0]["data"][0])
            self.send_response(status if self.path == "/v2/models/canary/infer" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_):
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def doubled(value):
    """As the canary answers."""
    return 200, {"outputs": [{"name": "value", "datatype": "INT32", "shape": [1], "data": [2 * value + 1]}]}


def test_it_computes(triton, capsys):
    """The right answer is exit code 0, and nothing is said."""
    triton.answer = doubled
    assert alive.main([str(triton.server_port)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda _: (200, {"outputs": [{"data": [7]}]}), "it answered [7] for"),
        (lambda _: (400, {"error": "no such model"}), "it refused: no such model"),
        (lambda _: (200, {"outputs": []}), "it did not answer"),
    ],
)
def test_it_answers_wrongly(triton, capsys, answer, problem):
    """Any other answer is exit code 1, with the reason for whoever reads the pod's events."""
    triton.answer = answer
    assert alive.main([str(triton.server_port)]) == 1
    assert problem in capsys.readouterr().err


def test_it_hangs(triton, capsys):
    """A server that takes the call and says nothing has failed when the time is over."""
    released = threading.Event()
    triton.answer = lambda value: doubled(value) if released.wait(10) else (500, {})
    assert alive.main([str(triton.server_port), "0.1"]) == 1
    released.set()
    assert "did not answer within 0.1 s: TimeoutError" in capsys.readouterr().err


def test_nobody_listens(capsys):
    """No connection is a failure, too."""
    assert alive.main(["1", "1"]) == 1
    assert "ConnectionRefusedError" in capsys.readouterr().err
