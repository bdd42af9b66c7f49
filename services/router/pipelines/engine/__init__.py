"""Runs plans: blocks in their order, one deadline for all, the first failure ends what waits for it."""

from services.router.pipelines.budget import predicted_seconds
from services.router.pipelines.engine.execution import Execution, at_node

__all__ = ["Execution", "at_node", "predicted_seconds"]
