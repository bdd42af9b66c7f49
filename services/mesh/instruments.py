"""Every instrument of the mesh, by area: what it measures, its unit, its labels.

Labels take their values from bounded sets: methods that are served, models in Triton, codes, names in this repository;
never from what a caller wrote. Tests compare this list with what processes expose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from weakref import ref

from opentelemetry import metrics

METHOD = "rpc.method"
CODE = "rpc.response.status_code"
STAGE = "maas.stage"
MODEL = "maas.model"
CHANGE = "maas.change"
MEASURE = "maas.measure"
DIRECTION = "maas.direction"
QUEUE = "maas.queue"
GRAPH = "maas.graph"
GENERATOR = "gen_ai.request.model"
CONFIDENCE = "maas.confidence"
CORRECT = "maas.correct"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - a label

# What stands for a model that Triton does not have, so that nobody makes series by asking for one.
OTHER = "other"

# From a fast answer of a small model to a live stream; seconds. Promises of durations are about one of these.
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
# How late an event loop may be; seconds.
_LAG = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
# As in the semantic conventions for generative models, but language models on a processor take longer to begin.
_FIRST_TOKEN = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)

Kind = Literal["counter", "histogram", "gauge", "sum"]
Owner = TypeVar("Owner")
Values = Iterable[tuple[float, Mapping[str, str]]]

_meter = metrics.get_meter("maas")


@dataclass(frozen=True, slots=True)
class Declared:
    """What is known of an instrument. unit: as OpenTelemetry writes it: "s", "{item}" or "" for a plain number."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    says: str


# By name; filled below.
DECLARED: dict[str, Declared] = {}


class Observed:
    """An instrument whose values are asked for when somebody collects them, in that thread."""

    def __init__(self, declared: Declared) -> None:
        """declared: a gauge, or a sum, of which values with the same labels are added up."""
        self._adds_up = declared.kind == "sum"
        self._sources: list[tuple[ref[Any], Callable[[Any], Values]]] = []
        create = _meter.create_observable_up_down_counter if self._adds_up else _meter.create_observable_gauge
        create(declared.name, [self._observe], unit=declared.unit, description=declared.says)

    def ask(self, owner: Owner, source: Callable[[Owner], Values]) -> None:
        """Ask an object from now on, for as long as it lives. source: takes it, and must not hold it itself."""
        self._sources.append((ref(owner), source))

    def _observe(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        found: dict[frozenset[tuple[str, str]], float] = {}
        for asked in list(self._sources):
            owner = asked[0]()
            if owner is None:
                with suppress(ValueError):  # another thread was faster
                    self._sources.remove(asked)
                continue
            for value, labels in asked[1](owner):
                key = frozenset(labels.items())
                found[key] = value + (found.get(key, 0) if self._adds_up else 0)
        return [metrics.Observation(value, dict(labels)) for labels, value in found.items()]


def _declare(name: str, kind: Kind, unit: str, labels: Sequence[str], says: str) -> Declared:
    DECLARED[name] = Declared(name, kind, unit, tuple(labels), says)
    return DECLARED[name]


def _counter(name: str, *labels: str, unit: str = "", says: str) -> metrics.Counter:
    _declare(name, "counter", unit, labels, says)
    return _meter.create_counter(name, unit=unit, description=says)


def _histogram(
    name: str, *labels: str, unit: str = "s", bounds: Sequence[float] = SECONDS, says: str
) -> metrics.Histogram:
    _declare(name, "histogram", unit, labels, says)
    return _meter.create_histogram(name, unit=unit, description=says, explicit_bucket_boundaries_advisory=bounds)


def _observed(name: str, *labels: str, kind: Kind = "gauge", unit: str = "", says: str) -> Observed:
    return Observed(_declare(name, kind, unit, labels, says))


# Calls that a process answers.
SERVER_DURATION = _histogram("rpc.server.call.duration", METHOD, CODE, says="Time to answer a call.")
SERVER_ACTIVE = _observed("maas.server.active_calls", METHOD, kind="sum", says="Calls being answered.")
SERVER_RETRIED = _counter(
    "maas.server.retried_calls", METHOD, says="Calls that came again, since an earlier attempt of gRPC's had failed."
)
STAGE_DURATION = _histogram("maas.stage.duration", METHOD, STAGE, says="Time that a stage of a call took.")
STREAMS_ACTIVE = _observed("maas.stream.active", METHOD, kind="sum", says="Streams that are open.")
STREAM_MESSAGES = _counter(
    "maas.stream.messages", METHOD, DIRECTION, says="Messages of streams, in from the client and out to it."
)

# Calls that a process makes.
CLIENT_DURATION = _histogram(
    "rpc.client.call.duration", METHOD, CODE, says="Time of a call to another service or to Triton."
)

# Models in Triton, as the services see them.
MODEL_DURATION = _histogram(
    "maas.model.call.duration", MODEL, CODE, says="Time that a call of a model took, waiting for its turn included."
)
MODEL_ACTIVE = _observed(
    "maas.model.active_calls", MODEL, kind="sum", says="Calls that Triton has not answered, abandoned ones included."
)
MODEL_QUEUE = _histogram(
    "maas.model.queue.duration", MODEL, says="Time until a model began, the way there included, where models tell."
)
MODEL_COMPUTE = _histogram("maas.model.compute.duration", MODEL, says="Time that a model computed, where models tell.")
MODEL_BATCH = _histogram("maas.model.batch_size", MODEL, unit="{item}", bounds=_ITEMS, says="Items of one request.")
MODEL_READY = _observed("maas.model.ready", MODEL, says="1 when a model that is known is ready, 0 when it is not.")
MODEL_CHANGES = _counter(
    "maas.model.changes", MODEL, CHANGE, says="Models that appeared, disappeared, or changed their version."
)
MODEL_WAIT = _observed(
    "maas.triton.predicted_wait",
    MODEL,
    unit="s",
    says="Time that a call of a model would wait in Triton now; those that it makes late are refused.",
)

# Whether models still see and say what they did (services/mesh/drift), and how right they are.
DRIFT_SCORE = _observed(
    "maas.drift.score",
    MODEL,
    MEASURE,
    says="How far the last window of calls is from the model's reference; 0 is not at all.",
)
DRIFT_ITEMS = _counter("maas.drift.items", MODEL, unit="{item}", says="Items of calls that were looked at for drift.")
FEEDBACK = _counter(
    "maas.feedback.answers",
    MODEL,
    CONFIDENCE,
    CORRECT,
    unit="{answer}",
    says="Answers of which callers told whether they were right, by the tenth in which their confidence lies.",
)
FEEDBACK_CONFIDENCE = _counter(
    "maas.feedback.confidence", MODEL, CONFIDENCE, says="The confidences of these answers, added up."
)

# Generated text.
TOKENS_USED = _histogram(
    "gen_ai.client.token.usage",
    GENERATOR,
    TOKEN_TYPE,
    unit="{token}",
    bounds=_TOKENS,
    says="Tokens that a language model read or wrote for one answer.",
)
FIRST_TOKEN = _histogram(
    "gen_ai.server.time_to_first_token", GENERATOR, bounds=_FIRST_TOKEN, says="Time until an answer began."
)

# Sound.
AUDIO_SECONDS = _counter(
    "maas.audio.duration", METHOD, DIRECTION, unit="s", says="Sound that was taken in and read, or given out."
)

# What waits or is kept inside a process.
QUEUE_WAITING = _observed("maas.queue.waiting", QUEUE, kind="sum", says="What waits in a bounded queue of a process.")
CACHE_LOOKUPS = _counter(
    "maas.cache.lookups", "cache", "outcome", says="Answers asked of a cache: hit, miss, or shared with one under way."
)
LOOP_LAG = _histogram("maas.event_loop.lag", bounds=_LAG, says="How late the event loop does what is due.")

# The router.
VARIANT_CALLS = _counter(
    "maas.router.variant.calls", "target", "variant", "outcome", says="Calls by variant and outcome."
)
SHADOW_AGREEMENT = _histogram(
    "maas.router.shadow.agreement", "target", unit="", bounds=_SHARES, says="How well a shadow's answers agree, 0..1."
)
EXTRA_CALLS = _counter(
    "maas.router.extra_calls",
    "reason",
    METHOD,
    says="Calls made again after a failure, or twice since the first was slow.",
)
OPEN_CIRCUITS = _observed("maas.router.open_circuits", says="Upstreams and models that are not asked for the moment.")
GRAPH_PREDICTED = _observed(
    "maas.router.graph.predicted_duration",
    GRAPH,
    unit="s",
    says="Time that a run of the graph takes now: the medians of its nodes over the last minute.",
)
