"""What is counted of the calls of models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from services.mesh import errors, instruments
from services.mesh.call import current_call
from services.mesh.instruments import CODE, MODEL, OTHER
from services.mesh.status import code_of

if TYPE_CHECKING:
    from services.mesh.ports import Array
    from services.mesh.triton.execution import Execution


log = structlog.get_logger()


class Accounts:
    """The metrics of one connection to Triton. Bounded by the models that it was told of."""

    def __init__(self, inflight: Mapping[str, int]) -> None:
        """inflight: calls that Triton has not answered, by model, kept up to date by the caller."""
        self._inflight = inflight
        # The labels of each, made once; whether its first dimension counts items.
        self._known: dict[str, tuple[Mapping[str, str], bool]] = {}
        instruments.MODEL_ACTIVE.ask(self, Accounts.active)
        instruments.QUEUE_WAITING.ask(self, Accounts.waiting)

    def know(self, model: str, *, batches: bool) -> None:
        """A model is in Triton. batches: whether its inputs have a first dimension of items."""
        self._known[model] = ({MODEL: model}, batches)

    @contextmanager
    def call(self, model: str, inputs: Mapping[str, Array]) -> Iterator[None]:
        """One call, with the error that leaves the block as its outcome."""
        labels, batches = self._known.get(model, ({MODEL: OTHER}, False))
        if (answering := current_call()) is not None:
            answering.models.add(labels[MODEL])
        began = time.perf_counter()
        code = "OK"
        try:
            yield
        except errors.MeshError as error:
            code = code_of(error).name
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except BaseException:
            code = "UNKNOWN"
            raise
        finally:
            seconds = time.perf_counter() - began
            items = len(next(iter(inputs.values()))) if batches and inputs else 1
            instruments.MODEL_DURATION.record(seconds, {**labels, CODE: code})
            instruments.MODEL_BATCH.record(items, labels)
            log.debug("a model ran", model=labels[MODEL], code=code, items=items, milliseconds=round(seconds * 1000, 1))

    def ran(self, model: str, execution: Execution) -> None:
        """When it worked, as it told."""
        labels = self._known.get(model, ({MODEL: OTHER}, False))[0]
        instruments.MODEL_QUEUE.record(execution.queue_ns / 1e9, labels)
        instruments.MODEL_COMPUTE.record(execution.compute_ns / 1e9, labels)

    def waiting(self) -> instruments.Values:
        """In Triton, of all models."""
        return [(sum(list(self._inflight.values())), {instruments.QUEUE: "triton"})]

    def active(self) -> instruments.Values:
        """By model."""
        return [(count, self._known[model][0]) for model, count in list(self._inflight.items()) if model in self._known]
