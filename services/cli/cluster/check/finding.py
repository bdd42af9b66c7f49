"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """UNKNOWN: it could not be looked at. WARNING: the mesh runs without it."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """subject: what was looked at. words: what is there, or what to do."""

    subject: str
    state: State
    words: str
