"""The RPCs about rollouts."""

from __future__ import annotations

from maas.models.v1 import models_pb2_grpc
from maas.models.v1 import rollout_pb2 as pb
from services.mesh.call import Context
from services.mesh.paging import name_before, token_after
from services.mesh.request import limited, request_id
from services.models.pipelines.rollouts import Rollouts
from services.models.rpc import results
from services.models.rpc.requests import NAME, limits, model_name, version_number


class RolloutRpcs(models_pb2_grpc.ModelServiceServicer):
    """How another version takes over."""

    _rollouts: Rollouts

    async def StartRollout(self, request: pb.StartRolloutRequest, context: Context) -> pb.StartRolloutResponse:
        """A new rollout, or the one that is under way."""
        echo = request_id(request)
        model, version = model_name("model", request.model), version_number("version", request.version)
        found = await self._rollouts.start(model, version, limits("limits", request.limits))
        return pb.StartRolloutResponse(rollout=results.rollout(found), request_id=echo)

    async def GetRollout(self, request: pb.GetRolloutRequest, context: Context) -> pb.GetRolloutResponse:
        """The last one of a model."""
        echo = request_id(request)
        found = self._rollouts.view(model_name("model", request.model))
        return pb.GetRolloutResponse(rollout=results.rollout(found), request_id=echo)

    async def ListRollouts(self, request: pb.ListRolloutsRequest, context: Context) -> pb.ListRolloutsResponse:
        """Some rollouts, by model."""
        echo = request_id(request)
        size = limited("page_size", request.page_size, default=50, low=1, high=100)
        after = name_before(request.page_token, NAME, "ListRollouts")
        left = [view for view in self._rollouts.views() if view.rollout.model > after]
        return pb.ListRolloutsResponse(
            rollouts=[results.rollout(view) for view in left[:size]],
            next_page_token=token_after(left[size - 1].rollout.model) if len(left) > size else "",
            request_id=echo,
        )

    async def RollBackRollout(self, request: pb.RollBackRolloutRequest, context: Context) -> pb.RollBackRolloutResponse:
        """The version before again."""
        echo = request_id(request)
        found = await self._rollouts.back(model_name("model", request.model))
        return pb.RollBackRolloutResponse(rollout=results.rollout(found), request_id=echo)

    async def PromoteRollout(self, request: pb.PromoteRolloutRequest, context: Context) -> pb.PromoteRolloutResponse:
        """The new version everywhere."""
        echo = request_id(request)
        found = await self._rollouts.promote(model_name("model", request.model))
        return pb.PromoteRolloutResponse(rollout=results.rollout(found), request_id=echo)

    async def DeleteRollout(self, request: pb.DeleteRolloutRequest, context: Context) -> pb.DeleteRolloutResponse:
        """Forgotten."""
        echo = request_id(request)
        await self._rollouts.delete(model_name("model", request.model))
        return pb.DeleteRolloutResponse(request_id=echo)
