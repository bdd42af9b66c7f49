"""Asks every replica of Triton what it has done, while it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import grpc.aio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.mesh.channel import open_channel
from services.mesh.triton.addresses import replicas
from services.mesh.triton.waits import Served, Waits

_PERIOD_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# Of these replicas the statistics are read; the others are taken to be like them.
_MAX_REPLICAS = 32


class Statistics:
    """Tells `waits` how fast models answer. Each replica has a channel of its own: a sum needs all of them."""

    def __init__(self, address: str, waits: Waits) -> None:
        """address: as of a channel: host:port, dns:///name:port, or ipv4:host:port,host:port."""
        self._address = address
        self._waits = waits
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def watch(self, called: Callable[[], Mapping[str, int]]) -> None:
        """Learn for ever; run it as a task. Triton is only asked while it is called.

        called: the models that were called since, with the instances that each replica has of them.
        """
        try:
            while True:
                await asyncio.sleep(_PERIOD_SECONDS)
                if models := called():
                    await self._find()
                    for model, instances in models.items():
                        self._waits.observe(model, await self._ask(model), instances)
        finally:
            for channel in self._channels.values():
                await channel.close()

    async def _find(self) -> None:
        with suppress(OSError):  # a name server that is away for a moment: the replicas are those that were
            found = set((await replicas(self._address))[:_MAX_REPLICAS])
            for gone in self._channels.keys() - found:
                await self._channels.pop(gone).close()
            for new in found - self._channels.keys():
                self._channels[new] = open_channel(new, service="", max_message_bytes=_MAX_MESSAGE_BYTES, retries=False)

    async def _ask(self, model: str) -> dict[str, Served]:
        """By replica; who does not answer is left out."""
        asked = await asyncio.gather(
            *(_served(channel, model) for channel in self._channels.values()), return_exceptions=True
        )
        return {
            replica: served for replica, served in zip(self._channels, asked, strict=True) if isinstance(served, Served)
        }


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
