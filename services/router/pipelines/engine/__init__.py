"""Runs plans: blocks in their order, one deadline for all, the first failure ends what waits for it."""

from services.router.pipelines.budget import predicted_seconds
from services.router.pipelines.engine.execution import Execution

__all__ = ["Execution", "predicted_seconds"]
