"""ModelService: decodes, delegates, encodes. Its RPCs stand in services/models/rpc, one module a subject."""

from __future__ import annotations

from services.models.pipelines.loading import Loading
from services.models.pipelines.rollouts import Rollouts
from services.models.rpc.feedback import FeedbackRpcs
from services.models.rpc.loading import LoadingRpcs
from services.models.rpc.rollouts import RolloutRpcs


class ModelServicer(LoadingRpcs, RolloutRpcs, FeedbackRpcs):
    """The RPCs of models."""

    def __init__(self, loading: Loading, rollouts: Rollouts) -> None:
        self._loading = loading
        self._rollouts = rollouts
