"""Which models the replicas hold, and loading them by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from services.mesh import errors
from services.mesh.repository import Fleet, Held, Replica
from services.models.pipelines.asking import ask_all
from services.models.pipelines.rollout import Rollout, Stage
from services.models.pipelines.rollouts import Rollouts


@dataclass(frozen=True, slots=True)
class Holding:
    """A model. replicas: the versions that each of those that answer knows. stage: of its last rollout."""

    model: str
    replicas: dict[str, list[Held]]
    stage: Stage | None


@dataclass(frozen=True, slots=True)
class Listing:
    """All models by name, and whether each replica answered."""

    models: list[Holding]
    replicas: dict[str, bool]


class Loading:
    """The replicas' repositories."""

    def __init__(self, fleet: Fleet, rollouts: Rollouts) -> None:
        self._fleet = fleet
        self._rollouts = rollouts

    async def list(self) -> Listing:
        """All models. Raises Unavailable when no replica answers."""
        held = await self._held()
        answers = {name: answer for name, answer in held.items() if answer is not None}
        stages = {view.rollout.model: view.rollout.stage for view in self._rollouts.views()}
        models = [
            Holding(model, {name: _of(model, answer) for name, answer in answers.items()}, stages.get(model))
            for model in _names(held)
        ]
        return Listing(models, {name: answer is not None for name, answer in held.items()})

    async def get(self, model: str) -> Holding:
        """One model. Raises NotFound and Unavailable."""
        listing = await self.list()
        for holding in listing.models:
            if holding.model == model:
                return holding
        raise errors.NotFound.named("model", model, [holding.model for holding in listing.models])

    async def require(self, model: str) -> None:
        """Raise NotFound when no replica has the model, and Unavailable when none answers."""
        names = _names(await self._held())
        if model not in names:
            raise errors.NotFound.named("model", model, names)

    async def load(self, model: str, names: Sequence[str]) -> Holding:
        """Load a model on these replicas, on all for none, one after another.

        Raises NotFound, FailedPrecondition during a rollout or when one cannot load it, and Unavailable.
        """
        view = self._rollouts.find(model)
        configuration = _configuration(view.rollout) if view else ""
        return await self._change(model, names, lambda replica: replica.load(model, configuration))

    async def unload(self, model: str, names: Sequence[str]) -> Holding:
        """Unload a model on these replicas, on all for none. Raises as `load`."""
        return await self._change(model, names, lambda replica: replica.unload(model))

    async def _held(self) -> Mapping[str, Sequence[Held] | None]:
        """What each replica has, None of who does not answer. Raises Unavailable when none does."""
        replicas = await self._fleet.replicas()
        held = await ask_all({replica.name: replica.held for replica in replicas})
        if all(answer is None for answer in held.values()):
            raise errors.Unavailable("no replica of Triton answers", reason="TRITON_UNREACHABLE", retry_after_seconds=1)
        return held

    async def _change(self, model: str, names: Sequence[str], change: Callable[[Replica], Awaitable[None]]) -> Holding:
        await self.get(model)
        replicas = {replica.name: replica for replica in await self._fleet.replicas()}
        for name in names:
            if name not in replicas:
                raise errors.NotFound.named("replica", name, list(replicas))
        for name in names or replicas:
            self._require_no_rollout(model)
            await change(replicas[name])
        return await self.get(model)

    def _require_no_rollout(self, model: str) -> None:
        view = self._rollouts.find(model)
        if view and (view.rollout.stage is Stage.RUNNING or not view.rollout.settled):
            raise errors.FailedPrecondition(
                f"a rollout of {model!r} is under way", reason="ROLLOUT_RUNNING", metadata={"model": model}
            )


def _configuration(rollout: Rollout) -> str:
    return rollout.new_configuration if rollout.stage is Stage.PROMOTED else rollout.configuration


def _names(held: Mapping[str, Sequence[Held] | None]) -> list[str]:
    return sorted({each.model for answer in held.values() for each in answer or ()})


def _of(model: str, held: Sequence[Held]) -> list[Held]:
    return sorted((each for each in held if each.model == model), key=lambda each: each.version)
