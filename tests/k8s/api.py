"""The API server by paths: what is asked stands in the test, and its warnings come with the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kubernetes.client import ApiClient

from deploy.k8s.checks.rendering import Document

_SECONDS = 30
MERGE = "application/merge-patch+json"
# "299 - \"text\"", as RFC 9111 has it.
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Answer:
    """What the API server said.

    status: HTTP's.  body: the object, or a Status.
    """

    status: int
    body: Document
    warnings: tuple[str, ...]


class Refused(Exception):
    """The API server did not do what it was asked; the message is its own."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status}: {answer.body.get('message', answer.body)}")
        self.answer = answer


class Api:
    """A client of one cluster."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def ask(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever it is. Raises urllib3's errors when none comes."""
        request = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", **({"Content-Type": content_type} if body else {})},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self._client.call_api(*request, _request_timeout=_SECONDS)
        text = response.read() or b"{}"
        return Answer(response.status, _object(text), warnings_of(response.headers.getlist("Warning")))

    def do(self, method: str, path: str, body: Document | None = None, **more: object) -> Answer:
        """The answer of success. Raises Refused."""
        answer = self.ask(method, path, body, **more)
        if answer.status >= 300:
            raise Refused(answer)
        return answer

    def items(self, path: str, selector: str = "") -> list[Document]:
        """The objects of a list, by a label selector. Raises Refused."""
        return self.do("GET", path, query={"labelSelector": selector} if selector else {}).body["items"]


def _object(text: bytes) -> Document:
    try:
        return json.loads(text)
    except ValueError:
        return {"message": text.decode(errors="replace")}


def warnings_of(headers: list[str]) -> tuple[str, ...]:
    """The texts of Warning headers."""
    return tuple(re.sub(r"\\(.)", r"\1", text) for header in headers for text in _WARNING.findall(header))
