"""The replicas of Triton: whoever calls takes the next one.

A channel of gRPC's that balances over a name asks for the name again only when a connection ends, and Triton ends none:
a replica that an autoscaler adds would get no calls. Here names are asked for again and again.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.mesh.channel import open_channel
from services.mesh.triton.addresses import replicas

MAX_MESSAGE_BYTES = 256 * 1024 * 1024
# More are not looked at one by one.
_MAX_REPLICAS = 32
# Names are resolved so often at most.
_FRESH_SECONDS = 1.0
# What still runs on a replica whose name is gone may end for so long.
_GRACE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class _Replica:
    """channel: with it alone. stub: on the channel."""

    channel: grpc.aio.Channel
    stub: service_pb2_grpc.GRPCInferenceServiceStub

    @property
    def connected(self) -> bool:
        """Whether it takes calls at once. Asked also for what it does: who is not connected tries to be."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY


class Replicas:
    """A channel to each. Bounded by the replicas there are, 32 at most."""

    def __init__(self, address: str) -> None:
        """address: as of a channel: host:port, dns:///name:port, or ipv4:host:port,host:port."""
        self._address = address
        self._known: dict[str, _Replica] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._found_at = float("-inf")
        self._turns = itertools.count()

    async def find(self) -> Mapping[str, grpc.aio.Channel]:
        """Those that there are now, by host:port."""
        return {name: replica.channel for name, replica in (await self._find()).items()}

    async def _find(self) -> Mapping[str, _Replica]:
        if time.monotonic() - self._found_at < _FRESH_SECONDS:
            return self._known
        self._found_at = time.monotonic()
        try:
            found = set((await replicas(self._address))[:_MAX_REPLICAS])
        except OSError:  # A name server that is away for a moment: the replicas are those that were.
            found = set(self._known) or {self._address}
        for gone in self._known.keys() - found:
            closing = asyncio.create_task(self._known.pop(gone).channel.close(_GRACE_SECONDS))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        for new in found - self._known.keys():
            # No retries of gRPC's: it cannot tell Triton's full queue from a restart, both are UNAVAILABLE.
            # No health checking: Triton has no Watch, and `Models` asks it anyway.
            channel = open_channel(new, service="", max_message_bytes=MAX_MESSAGE_BYTES, retries=False)
            self._known[new] = _Replica(channel, service_pb2_grpc.GRPCInferenceServiceStub(channel))
        return self._known

    async def stubs(self) -> list[service_pb2_grpc.GRPCInferenceServiceStub]:
        """To ask one or each of them: those first that are connected, and of these another one each time."""
        every = list((await self._find()).values())
        if len(every) == 1:
            return [every[0].stub]
        turn = next(self._turns) % len(every)
        turned = [*every[turn:], *every[:turn]]
        return [each.stub for each in sorted(turned, key=lambda replica: not replica.connected)]

    async def indexes(
        self, seconds: float
    ) -> list[tuple[service_pb2_grpc.GRPCInferenceServiceStub, pb.RepositoryIndexResponse]]:
        """What models each has that answers within so many seconds. Raises AioRpcError when none does."""
        stubs = await self.stubs()
        asked = await asyncio.gather(
            *(stub.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=seconds) for stub in stubs),
            return_exceptions=True,
        )
        found = [
            (stub, answer)
            for stub, answer in zip(stubs, asked, strict=True)
            if isinstance(answer, pb.RepositoryIndexResponse)
        ]
        failures = [answer for answer in asked if isinstance(answer, BaseException)]
        if failures and not found:
            raise failures[0]
        return found

    async def close(self) -> None:
        """Close every channel; what is under way fails."""
        for closing in self._closing:
            closing.cancel()
        for replica in self._known.values():
            await replica.channel.close()
