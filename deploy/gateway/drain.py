"""Lets a gateway finish its calls before it is stopped: Envoy itself ends at once when it is told to.

Its callers are told while it still takes new calls, as the times of deploy/drain.py say.
"""

from __future__ import annotations

import time
import urllib.request
from contextlib import suppress

_POLL_SECONDS = 0.05
_CALLS, _CONNECTIONS = "http.public.downstream_rq_active", "http.public.downstream_cx_active"


def drain(admin: str, seconds: float) -> None:
    """Tell callers to take new calls elsewhere, and return when none is left, after so many seconds at the latest.

    admin: host:port of the gateway's administration; when it does not answer there is nothing to wait for.
    """
    with suppress(OSError, ValueError):
        _tell_callers(admin)
        _wait_until_none(admin, _CALLS, seconds)


def hand_over(admin: str, seconds: float, *, announce_seconds: float) -> None:
    """The same where another gateway listens on the same address, to which callers go.

    announce_seconds: for so long it takes calls as before, and its answers say that their connection ends. Then it
    listens no more. Connections on which nothing was asked meanwhile do not know it; they get so long once more.
    """
    with suppress(OSError, ValueError):
        _tell_callers(admin)
        time.sleep(announce_seconds)
        _ask(f"http://{admin}/drain_listeners", method="POST")
        _wait_until_none(admin, _CALLS, seconds)
        _wait_until_none(admin, _CONNECTIONS, announce_seconds)


def pre_stop(admin_port: int, announce_seconds: int, drain_seconds: int) -> list[str]:
    """The same as a command for a container in which there is bash and no HTTP client, for Kubernetes' pre-stop hook.

    announce_seconds: it waits so long at least, so that nobody sends new calls any more (Stop.pre_stop).
    """
    script = f"""
ask() {{
  exec 3<>/dev/tcp/127.0.0.1/{admin_port} || exit 0
  printf '%s HTTP/1.1\\r\\nhost: drain\\r\\nconnection: close\\r\\ncontent-length: 0\\r\\n\\r\\n' "$1" >&3
  cat <&3
}}
ask 'POST /drain_listeners?graceful&skip_exit' > /dev/null
sleep {announce_seconds}
for ((second = 0; second < {drain_seconds}; second++)); do
  [[ $(ask 'GET /stats?filter=^{_CALLS}$') == *'{_CALLS}: 0'* ]] && exit
  sleep 1
done
"""
    return ["/bin/bash", "-c", script.strip()]


def _tell_callers(admin: str) -> None:
    _ask(f"http://{admin}/drain_listeners?graceful&skip_exit", method="POST")


def _wait_until_none(admin: str, what: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _, _, active = _ask(f"http://{admin}/stats?filter=^{what}$").partition(":")
        if int(active) == 0:
            return
        time.sleep(_POLL_SECONDS)


def _ask(url: str, *, method: str = "GET") -> str:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - an address of ours
    with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
        return str(answer.read().decode())
