"""The composition root: Triton's replicas, where rollouts are kept, and who drives them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.models.v1 import models_pb2_grpc
from services.mesh.background import background
from services.mesh.repository import Fleet
from services.mesh.server import Servicer
from services.mesh.triton.fleet import open_fleet
from services.models.files import Files
from services.models.pipelines.kept import Kept
from services.models.pipelines.loading import Loading
from services.models.pipelines.rollouts import Rollouts
from services.models.servicer import ModelServicer
from services.models.settings import Settings

SERVICE = "maas.models.v1.ModelService"


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service; rollouts go on for as long as the block runs. It is ready when it has read which there are.

    Raises NotKept when they are kept in a cluster that cannot be found.
    """
    async with open_fleet(settings.triton_address, settings.load_seconds) as fleet:
        rollouts = Rollouts(fleet, _kept(settings))
        async with background(rollouts.watch()):
            yield [servicer(fleet, rollouts)]


def servicer(fleet: Fleet, rollouts: Rollouts) -> Servicer:
    """The service on any adapters."""
    implementation = ModelServicer(Loading(fleet, rollouts), rollouts)
    add = models_pb2_grpc.add_ModelServiceServicer_to_server
    return Servicer(SERVICE, add, implementation, rollouts.known)


def _kept(settings: Settings) -> Kept:
    if settings.state == "files" and settings.state_directory is not None:
        return Files(settings.state_directory)
    # A mesh on one machine spares itself the client: a quarter of a second at the start, and 30 MB.
    from services.models.config_maps import open_config_maps  # noqa: PLC0415

    return open_config_maps(settings.kubeconfig, settings.namespace)
