"""How pods end: with the times of deploy/drain.py, so that a rolling update loses no call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from deploy.drain import CLOSE_SECONDS, KUBERNETES, Stop, stops
from deploy.k8s.checks.environment import resolved
from deploy.k8s.checks.rendering import Document, Problem, Rendering, Workload, at

_DEFAULT_GRACE_SECONDS = 30
# Of at least ten seconds: shorter sleeps are those between two questions in a loop.
_IN_SCRIPT = re.compile(r"(?:\bsleep|<)\s+(\d{2,})\b")
# Triton's own flag, for the image that knows no variable.
_TRITON_FLAG = re.compile(r"--exit-timeout-secs(?:=|\s+)(\d+)")


def shutdown(rendering: Rendering) -> Iterator[Problem]:
    """A pod goes on while callers may still send, drains as long as calls may last, and is killed only after that."""
    order = stops(KUBERNETES)
    for workload in rendering.workloads:
        stop = order.get(workload.name)
        if stop is None:
            continue
        container = next(
            (each for each in workload.containers if each.get("name") == workload.name), workload.containers[0]
        )
        grace = workload.pod.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS)
        hook = hook_seconds(container)
        if hook < stop.pre_stop:
            yield Problem(
                workload.where(container),
                f"its preStop takes {hook} s: callers may send for {stop.pre_stop} s more (deploy/drain.py)",
            )
        yield from _drains(rendering, workload, container, stop)
        needed = _needed(rendering, workload, container, stop, hook)
        if grace < needed:
            yield Problem(
                workload.reference,
                f"terminationGracePeriodSeconds is {grace}: preStop, notice, drain and closing take {needed:g} "
                "(deploy/drain.py)",
            )


def hook_seconds(container: Document) -> int:
    """How long the pre-stop hook may take: its sleep, or the sleeps and the bound of the loop in its script."""
    hook = at(container, "lifecycle", "preStop")
    if "sleep" in hook:
        seconds: int = hook["sleep"].get("seconds", 0)
        return seconds
    script = " ".join(map(str, at(hook, "exec").get("command", [])))
    return sum(map(int, _IN_SCRIPT.findall(script)))


def _drains(rendering: Rendering, workload: Workload, container: Document, stop: Stop) -> Iterator[Problem]:
    if stop.name == "gateway":
        return  # drains within its hook
    given = _times(rendering, workload, container)
    for what, least in (("NOTICE", stop.notice), ("DRAIN", stop.drain)):
        if given.get(what, 0.0) < least:
            yield Problem(
                workload.where(container),
                f"{stop.name.upper()}_{what}_SECONDS is {given.get(what, 0):g}: calls need {least} (deploy/drain.py)",
            )


def _needed(rendering: Rendering, workload: Workload, container: Document, stop: Stop, hook: int) -> float:
    given = _times(rendering, workload, container)
    # The gateway drains within its hook.
    drains = 0.0 if stop.name == "gateway" else sum(given.values())
    return max(float(stop.grace), hook + drains + CLOSE_SECONDS)


def _times(rendering: Rendering, workload: Workload, container: Document) -> Mapping[str, float]:
    """NOTICE and DRAIN in seconds, as the container is told."""
    values = resolved(rendering, container)
    prefix = workload.name.upper()
    found = {}
    for what in ("NOTICE", "DRAIN"):
        text = values.get(f"{prefix}_{what}_SECONDS")
        if text is not None and re.fullmatch(r"\d+(\.\d+)?", text):
            found[what] = float(text)
    words = " ".join(map(str, [*container.get("command", []), *container.get("args", [])]))
    flag = _TRITON_FLAG.search(words)
    return found | ({"DRAIN": float(flag[1])} if flag else {})
