"""The composition root: the graphs, the channels, the store, and the names that the router answers for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from maas.router.v1 import router_pb2_grpc
from services.mesh import instruments
from services.mesh.server import Servicer
from services.router.caller import GraphCallers
from services.router.capabilities import Capabilities
from services.router.compiling import load
from services.router.masker import SERVICE as NLP
from services.router.masker import EntityMasker
from services.router.methods import MODELS, ROUTER
from services.router.observing import SpanObserver
from services.router.pipelines.durations import LearntDurations
from services.router.pipelines.engine import predicted_seconds
from services.router.policies import Policies
from services.router.registry import Registry
from services.router.runner import Runner
from services.router.servicer import RouterServicer
from services.router.settings import Settings
from services.router.store import open_store
from services.router.upstreams import open_upstream, open_upstreams


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The router, and every other service by name: its health and its descriptors are asked here for the whole mesh.

    The router itself is ready at once, whatever its services are. Raises GraphError when a graph cannot run.
    """
    built_in = load(settings.graphs_directory)
    async with AsyncExitStack() as stack:
        upstreams = await stack.enter_async_context(open_upstreams(settings))
        url = settings.store_url.get_secret_value()
        store = await stack.enter_async_context(open_store(url)) if url else None
        policies = await stack.enter_async_context(Policies(store))
        durations = LearntDurations()
        callers = GraphCallers(
            upstreams, masker=EntityMasker(upstreams[NLP]), policies=policies, cache_bytes=settings.cache_bytes
        )
        registry = Registry(built_in, callers, store)
        instruments.GRAPH_PREDICTED.ask(registry, lambda registry: _predictions(registry, durations))
        implementation = RouterServicer(
            registry,
            Runner(registry, policies, durations, SpanObserver()),
            policies,
            store,
            capabilities=Capabilities(upstreams, registry, durations),
            capabilities_timeout_seconds=settings.capabilities_timeout_seconds,
        )
        told = dict(upstreams)
        if settings.models_address:
            told[MODELS] = await stack.enter_async_context(open_upstream(MODELS, settings.models_address, settings))
        yield [
            Servicer(ROUTER, router_pb2_grpc.add_RouterServiceServicer_to_server, implementation),
            *(Servicer(name, ready=upstream.serving) for name, upstream in told.items()),
        ]


def _predictions(registry: Registry, durations: LearntDurations) -> instruments.Values:
    """What an autoscaler goes by: how long each graph that has run takes now."""
    for runnable in registry.all():
        seconds = predicted_seconds(runnable.plan, durations)
        if seconds is not None:
            yield seconds, {instruments.GRAPH: runnable.compiled.graph.name}
