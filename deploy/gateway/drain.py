"""Lets a gateway finish its calls before it is stopped."""

from __future__ import annotations

import time
import urllib.request
from contextlib import suppress

_POLL_SECONDS = 0.05


def drain(admin: str, seconds: float) -> None:
    """Tell callers to take new calls elsewhere, and return when none is left, after so many seconds at the latest.

    admin: host:port of the gateway's administration; when it does not answer there is nothing to wait for.
    """
    until = time.monotonic() + seconds
    with suppress(OSError, ValueError):
        _ask(f"http://{admin}/drain_listeners?graceful&skip_exit", method="POST")
        while time.monotonic() < until:
            _, _, active = _ask(f"http://{admin}/stats?filter=^http.public.downstream_rq_active$").partition(":")
            if int(active) == 0:
                return
            time.sleep(_POLL_SECONDS)


def _ask(url: str, *, method: str = "GET") -> str:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - an address of ours
    with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
        return str(answer.read().decode())
