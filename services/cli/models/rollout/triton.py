"""One Triton, over its HTTP API: the one that also goes through a Kubernetes API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

from services.cli.models.rollout.state import Served

# A big model takes minutes to load.
_LOAD_SECONDS = 600.0
_ASK_SECONDS = 10.0
_SHOWN_LETTERS = 300
_MAX_ANSWER_BYTES = 4 * 1024 * 1024


class TritonError(Exception):
    """Triton refused or did not answer; the text is for the operator."""


# Method, path, body, seconds -> status and answer. Raises OSError or HTTPException.
Ask = Callable[[str, str, bytes | None, float], tuple[int, bytes]]


def directly(address: str) -> Ask:
    """Ask the HTTP endpoint at host:port."""

    def ask(method: str, path: str, body: bytes | None, seconds: float) -> tuple[int, bytes]:
        connection = HTTPConnection(address, timeout=seconds)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read(_MAX_ANSWER_BYTES)
        finally:
            connection.close()

    return ask


class Triton:
    """A replica. name: that people know it by. ask: how to reach its HTTP API."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.name = name
        self._send = ask

    def versions(self, model: str) -> set[int]:
        """The versions that are ready. Raises TritonError, also for a model that is not in the repository."""
        index = self._ask("POST", "/v2/repository/index", {})
        entries = [entry for entry in index if entry.get("name") == model]
        if not entries:
            raise TritonError(f"{self.name} has no model {model!r} in its repository")
        return {int(entry["version"]) for entry in entries if entry.get("state") == "READY"}

    def configuration(self, model: str) -> dict[str, Any]:
        """As it was loaded."""
        found: dict[str, Any] = self._ask("GET", f"/v2/models/{model}/config")
        return found

    def load(self, model: str, configuration: str = "") -> None:
        """Load what the repository has now, or with another configuration, JSON. Calls under way are finished first."""
        body = {"parameters": {"config": configuration}} if configuration else {}
        self._ask("POST", f"/v2/repository/models/{model}/load", body, seconds=_LOAD_SECONDS)

    def served(self, model: str, version: int) -> Served:
        """What a version did since it was loaded; nothing when it is not loaded."""
        try:
            answer = self._ask("GET", f"/v2/models/{model}/versions/{version}/stats")
        except TritonError:
            return Served()
        statistics = [each["inference_stats"] for each in answer["model_stats"]]
        return Served(
            answered=sum(int(each["success"]["count"]) for each in statistics),
            failed=sum(int(each["fail"]["count"]) for each in statistics),
            seconds=sum(int(each["success"]["ns"]) for each in statistics) / 1e9,
        )

    def _ask(self, method: str, path: str, body: object = None, *, seconds: float = _ASK_SECONDS) -> Any:
        content = None if body is None else json.dumps(body).encode()
        try:
            status, answer = self._send(method, path, content, seconds)
        except (OSError, HTTPException) as error:
            raise TritonError(f"{self.name} does not answer: {type(error).__name__}") from None
        text = answer.decode(errors="replace")
        if status != 200:  # noqa: PLR2004 - OK
            raise TritonError(f"{self.name}: {_complaint(text)}")
        return json.loads(text) if text else None


def _complaint(text: str) -> str:
    with suppress(ValueError, KeyError, TypeError):
        text = json.loads(text)["error"]
    return text.strip()[:_SHOWN_LETTERS]
