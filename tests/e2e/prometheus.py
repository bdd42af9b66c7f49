"""What the Prometheus of a running mesh answers."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prometheus:
    """port: of its API."""

    port: int

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an expression as it is now. Raises urllib.error.HTTPError for one that is none."""
        data: list[dict[str, Any]] = self._ask("query", query=expr)["result"]
        return data

    def exemplars(self, expr: str) -> list[dict[str, Any]]:
        """Calls that stand for what an expression's histograms counted in the last five minutes."""
        end = float(self._ask("query", query="time()")["result"][1])
        found: list[dict[str, Any]] = self._ask("query_exemplars", query=expr, start=end - 300, end=end)
        return found

    def targets(self) -> dict[str, str]:
        """Whom it collects from, and "up" or what is wrong."""
        return {
            target["labels"]["job"]: target["health"] if target["health"] == "up" else target["lastError"]
            for target in self._ask("targets")["activeTargets"]
        }

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def _ask(self, what: str, **parameters: object) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
