"""How the mesh stops without losing a call: the order and the times, derived here and nowhere else.

    client -> gateway -> router -> nlp, vision, speech, models -> preprocessing -> triton

Whoever calls stops before what it calls. One process alone, which is what a rolling restart replaces, goes through:

    pre-stop   it works on as before (Kubernetes only): the gateway until its address is withdrawn and nobody calls it
               any more; the others, which stay listed and are asked how they are, until their callers have gone as well
    notice     from SIGTERM on it says NOT_SERVING to who asks, as the gateway does, and still answers what comes, since
               that is learnt a little later; gRPC clients, which watch, are told at its end (services/mesh/server.py)
    drain      streams are asked to end in good order, and connections take no new calls (GOAWAY); those in flight
               finish, and it ends as soon as none is left
    close      what the handlers used is closed, and the last spans are sent; after that comes SIGKILL

Envoy ends at once when it gets SIGTERM, so that the gateway's notice and drain come before it, in its pre-stop.

The local process table (deploy/local/processes.py) and the manifests (deploy/k8s) take their numbers from `stops`, and
tests hold the manifests to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

# Who calls whom. `models` is asked through the gateway only.
CALLS: Mapping[str, tuple[str, ...]] = {
    "gateway": ("router", "models", "nlp", "vision", "speech", "preprocessing"),
    "router": ("nlp", "vision", "speech", "preprocessing"),
    "models": ("triton",),
    "nlp": ("triton", "preprocessing"),
    "vision": ("triton", "preprocessing"),
    "speech": ("triton", "preprocessing"),
    "preprocessing": ("triton",),
    "triton": (),
}

# The longest time that a unary call may take: language models write some ten words a second on a CPU, and a graph may
# hear a long recording and more.
LONGEST_CALL_SECONDS = 300
# The gateway asks every second how a service is, and a lost question costs it another.
NOTICE_SECONDS = 2
# Callers try every second, and a little more, to reach an address that they know (services/mesh/channel.py).
JOIN_SECONDS = 2
# From the last call to the end of the process.
CLOSE_SECONDS = 10


@dataclass(frozen=True)
class Times:
    """What the times are derived from, in seconds.

    forgotten: after so long nobody sends new calls to an address that was withdrawn: the endpoint controller, the cache
        of the cluster's DNS, and the 2 seconds after which the gateway asks that again. 0 where nothing is withdrawn.
    drain: calls in flight may finish for so long. Below LONGEST_CALL_SECONDS longer ones are cut off; more costs
        nothing, since a process ends when its last call has.
    step: when everything is told to stop at once, each tier goes on as before for so much longer than its callers, so
        that calls come through that end within it. 0 where a supervisor stops the tiers one after the other.
    """

    forgotten: int
    drain: int
    step: int

    def __post_init__(self) -> None:
        if self.forgotten < 0 or self.drain <= 0 or self.step < 0:
            raise ValueError(f"a time is negative, or calls have no time to finish: {self}")


# CoreDNS answers from its cache for 5 seconds, a cache on the node for up to 30; who calls for longer still learns it
# by NOT_SERVING.
KUBERNETES = Times(forgotten=15, drain=LONGEST_CALL_SECONDS, step=5)


def local(drain_seconds: float) -> Times:
    """The times of a mesh on one machine, where the supervisor stops one tier after the other."""
    return Times(forgotten=0, drain=max(1, round(drain_seconds)), step=0)


@dataclass(frozen=True)
class Stop:
    """How one process stops; all times in seconds.

    depth: how many calls it is away from the client at most; processes of equal depth stop together.
    rank: for a supervisor, which stops the highest rank first.
    pre_stop: the pre-stop hook sleeps so long. The gateway's drains after that, within the hook.
    notice, drain: as above. The drain is what a service has as ..._DRAIN_SECONDS, and Triton as --exit-timeout-secs.
    announce: within so long the gateway tells all its connections to go elsewhere, and then closes its listeners
        (Envoy's --drain-time-s).
    stop: from SIGTERM to SIGKILL, for a supervisor.
    grace: the same with what happens before SIGTERM, for Kubernetes (terminationGracePeriodSeconds).
    """

    name: str
    depth: int
    rank: int
    pre_stop: int
    notice: int
    drain: int
    stop: int
    grace: int

    @property
    def announce(self) -> int:
        """Envoy's --drain-time-s, which must not be 0."""
        return max(self.pre_stop, self.notice)

    def environment(self) -> dict[str, str]:
        """The settings of a service (services/mesh/settings.py)."""
        prefix = self.name.upper()
        return {f"{prefix}_NOTICE_SECONDS": str(self.notice), f"{prefix}_DRAIN_SECONDS": str(self.drain)}


def stops(times: Times) -> dict[str, Stop]:
    """How each process stops, by name, those first that stop first. Raises ValueError when the times fit nowhere."""
    deepest = max(map(depth, CALLS))
    found = [_stop(name, deepest, times) for name in sorted(CALLS, key=depth)]
    return {each.name: each for each in found}


def _stop(name: str, deepest: int, times: Times) -> Stop:
    # Triton has no health that its callers would hear before it takes no more calls: they ask their list of models.
    notice = 0 if name == "triton" else NOTICE_SECONDS
    pre_stop = times.forgotten + depth(name) * times.step
    finish = notice + times.drain + CLOSE_SECONDS
    return Stop(
        name=name,
        depth=depth(name),
        rank=10 * (deepest - depth(name) + 1),
        pre_stop=pre_stop,
        notice=notice,
        drain=times.drain,
        stop=CLOSE_SECONDS if name == "gateway" else finish,
        grace=pre_stop + finish,
    )


@cache
def depth(name: str) -> int:
    """How many calls a process is away from the client at most. Raises KeyError for one that nobody knows."""
    if name not in CALLS:
        raise KeyError(f"{name} is not in the table of who calls whom (deploy/drain.py)")
    return max((depth(caller) + 1 for caller, called in CALLS.items() if name in called), default=0)
