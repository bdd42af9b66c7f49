"""Where the time of a call went, as the mesh tells who asks: W3C's Server-Timing syntax in the answer's metadata.

call = stub.AnalyzeSentiment(request, metadata=[(REQUEST_KEY, "1")])
for entry in read([*call.initial_metadata(), *call.trailing_metadata()]):
print(entry.name, entry.milliseconds)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# With "1", asks for the times; the answer has them under the other key.
REQUEST_KEY = "maas-timing"
ANSWER_KEY = "server-timing"

_ENTRY = re.compile(r"""\s*([^;,"\s]+)((?:\s*;\s*[^=;,\s]+(?:=(?:"[^"]*"|[^;,\s]*))?)*)\s*(?:,|$)""")
_PARAMETER = re.compile(r""";\s*([^=;,\s]+)(?:=(?:"([^"]*)"|([^;,\s]*)))?""")


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the times.

    name: "total", of a stage, "node.NAME" or "node.NAME.STAGE". milliseconds: None for what is no time, as the
    traceparent. parameters: all others; of a node `start`, milliseconds after the call began, and `runs`.
    """

    name: str
    milliseconds: float | None
    parameters: Mapping[str, str]


def parse(value: str) -> list[Entry]:
    """The entries of one header. What is no entry is left out."""
    found = []
    for name, text in _ENTRY.findall(value):
        parameters = {key: quoted or plain for key, quoted, plain in _PARAMETER.findall(text)}
        try:
            duration = float(parameters.pop("dur"))
        except (KeyError, ValueError):
            duration = None
        found.append(Entry(name, duration, parameters))
    return found


def read(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[Entry]:
    """The entries of what came with an answer; of headers and trailers that tell the same, those that came last."""
    told = [value for key, value in metadata or () if key == ANSWER_KEY and isinstance(value, str)]
    return parse(told[-1]) if told else []
