"""Asks every replica of Triton what it has done, while it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import grpc.aio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.mesh.triton.replicas import Replicas
from services.mesh.triton.waits import Served, Waits

_PERIOD_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0


class Statistics:
    """Tells `waits` how fast models answer. Every replica is asked: a sum needs all of them.

    Those beyond what `Replicas` finds are taken to be like them.
    """

    def __init__(self, replicas: Replicas, waits: Waits) -> None:
        self._replicas = replicas
        self._waits = waits

    async def watch(self, called: Callable[[], Mapping[str, int]]) -> None:
        """Learn for ever; run it as a task. Triton is only asked while it is called.

        called: the models that were called since, with the instances that each replica has of them.
        """
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            if models := called():
                channels = dict(await self._replicas.find())
                for model, instances in models.items():
                    self._waits.observe(model, await _ask(channels, model), instances)


async def _ask(channels: Mapping[str, grpc.aio.Channel], model: str) -> dict[str, Served]:
    """By replica; who does not answer is left out."""
    asked = await asyncio.gather(*(_served(channel, model) for channel in channels.values()), return_exceptions=True)
    return {replica: served for replica, served in zip(channels, asked, strict=True) if isinstance(served, Served)}


async def _served(channel: grpc.aio.Channel, model: str) -> Served:
    """The sum over a model's versions."""
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    said = await stub.ModelStatistics(pb.ModelStatisticsRequest(name=model), timeout=_TIMEOUT_SECONDS)
    versions = said.model_stats
    return Served(
        calls=sum(version.inference_stats.success.count for version in versions),
        executions=sum(version.execution_count for version in versions),
        busy_seconds=sum(batch.compute_infer.ns for version in versions for batch in version.batch_stats) / 1e9,
    )
