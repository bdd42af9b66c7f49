"""Seconds of sound that calls take in and give out, as a metric."""

from __future__ import annotations

from services.mesh.call import current_call
from services.mesh.instruments import AUDIO_SECONDS, DIRECTION, METHOD


def heard(seconds: float) -> None:
    """The call that is being answered has taken in so much sound, and could read it."""
    _count(seconds, "in")


def spoken(seconds: float) -> None:
    """The call that is being answered gives out so much sound."""
    _count(seconds, "out")


def _count(seconds: float, direction: str) -> None:
    call = current_call()
    if call is not None:
        AUDIO_SECONDS.add(seconds, {METHOD: call.method, DIRECTION: direction})
