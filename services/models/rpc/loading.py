"""The RPCs about what the replicas hold."""

from __future__ import annotations

from maas.models.v1 import models_pb2 as pb
from maas.models.v1 import models_pb2_grpc
from services.mesh.call import Context
from services.mesh.paging import name_before, token_after
from services.mesh.request import limited, request_id
from services.models.pipelines.loading import Loading
from services.models.rpc import results
from services.models.rpc.requests import NAME, model_name


class LoadingRpcs(models_pb2_grpc.ModelServiceServicer):
    """Which versions are where."""

    _loading: Loading

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """Some models, by name."""
        echo = request_id(request)
        size = limited("page_size", request.page_size, default=50, low=1, high=100)
        after = name_before(request.page_token, NAME, "ListModels")
        listing = await self._loading.list()
        left = [holding for holding in listing.models if holding.model > after]
        return pb.ListModelsResponse(
            models=[results.model(holding) for holding in left[:size]],
            next_page_token=token_after(left[size - 1].model) if len(left) > size else "",
            replicas=results.servers(listing),
            request_id=echo,
        )

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """One model."""
        echo = request_id(request)
        found = await self._loading.get(model_name("name", request.name))
        return pb.GetModelResponse(model=results.model(found), request_id=echo)

    async def LoadModel(self, request: pb.LoadModelRequest, context: Context) -> pb.LoadModelResponse:
        """A model, loaded on some replicas or all."""
        echo = request_id(request)
        found = await self._loading.load(model_name("name", request.name), request.replicas)
        return pb.LoadModelResponse(model=results.model(found), request_id=echo)

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Context) -> pb.UnloadModelResponse:
        """A model, unloaded on some replicas or all."""
        echo = request_id(request)
        found = await self._loading.unload(model_name("name", request.name), request.replicas)
        return pb.UnloadModelResponse(model=results.model(found), request_id=echo)
