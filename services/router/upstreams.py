"""The services that the router reaches: one channel each, for calls and for health."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc.aio

from services.mesh.channel import open_channel
from services.router.settings import Settings

# A backend that only closes an old connection is back within milliseconds, and is not told as down for that.
_GRACE_SECONDS = 1.0


def addresses(settings: Settings) -> dict[str, str]:
    """Where each service is that nodes may call, by its full name."""
    return {
        "maas.preprocessing.v1.PreprocessingService": settings.preprocessing_address,
        "maas.nlp.v1.NlpService": settings.nlp_address,
        "maas.vision.v1.VisionService": settings.vision_address,
        "maas.speech.v1.SpeechService": settings.speech_address,
    }


@dataclass
class Upstream:
    """A service of the mesh.

    Its health is the channel's: gRPC's own health checking follows the Watch stream of every backend, so that the
    channel is ready exactly when a call would find a backend that serves. It reconnects with a bounded back-off
    (open_channel).
    """

    service: str
    channel: grpc.aio.Channel
    _last_ready: float = field(default=float("-inf"), repr=False)

    def serving(self) -> bool:
        """Whether a call would find a backend. Never waits; connects in the background when there is no connection."""
        now = time.monotonic()
        if self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            self._last_ready = now
        return now - self._last_ready < _GRACE_SECONDS


@asynccontextmanager
async def open_upstreams(settings: Settings) -> AsyncIterator[Mapping[str, Upstream]]:
    """Channels to all services that nodes may call, by the service's full name."""
    async with AsyncExitStack() as stack:
        yield {
            service: await stack.enter_async_context(open_upstream(service, address, settings))
            for service, address in addresses(settings).items()
        }


@asynccontextmanager
async def open_upstream(service: str, address: str, settings: Settings) -> AsyncIterator[Upstream]:
    """A channel to one service, for as long as the block runs."""
    # Nodes have their own policies; two layers of retries would multiply.
    channel = open_channel(address, service=service, max_message_bytes=settings.max_message_bytes, retries=False)
    async with channel:
        yield Upstream(service, channel)
