"""The composition root: the graphs, the channels, and the names that the router answers for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.router.v1 import router_pb2_grpc
from services.mesh.server import Servicer
from services.router.compiler import load
from services.router.methods import ROUTER
from services.router.servicer import RouterServicer
from services.router.settings import Settings
from services.router.upstreams import open_upstreams


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The router, and every other service by name: its health and its descriptors are asked here for the whole mesh.

    The router itself is ready at once, whatever its services are. Raises GraphError when a graph cannot run.
    """
    graphs = load(settings.graphs_directory)
    async with open_upstreams(settings) as upstreams:
        implementation = RouterServicer(
            graphs, upstreams, capabilities_timeout_seconds=settings.capabilities_timeout_seconds
        )
        yield [
            Servicer(ROUTER, router_pb2_grpc.add_RouterServiceServicer_to_server, implementation),
            *(Servicer(name, ready=upstream.serving) for name, upstream in upstreams.items()),
        ]
