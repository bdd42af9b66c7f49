"""slo.yaml as types: what is promised, of which calls, and how that is asked of Prometheus."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from deploy.local.processes import SERVICES
from services.mesh.instruments import SECONDS

FILE = Path(__file__).parent / "slo.yaml"
# A call that ends so has failed by our fault; see slo.yaml.
FAULTS = ("UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "RESOURCE_EXHAUSTED")
DURATION = "rpc_server_call_duration_seconds"
# Calls at the gateway, by the service that they are for. A service answers with HTTP 200 whatever becomes of a call, so
# that 503 is Envoy's own: it reached no replica, or lost it before it answered.
REACHED = "envoy_cluster_upstream_rq"
# The fastest burn that is alerted on. A budget above 1 / FASTEST_BURN could not burn so fast with every call failing.
FASTEST_BURN = 14.4

Percent = Annotated[float, Field(gt=100 - 100 / FASTEST_BURN, lt=100)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Indicator(_Model):
    """One thing that is measured and promised.

    name: in labels. percent: of good calls. bad, all: PromQL of how many calls a second were bad, and how many there
    were, with WINDOW for the time over which they are counted; without labels.
    """

    name: str
    objective: str
    service: str
    summary: str
    percent: float
    bad: str
    all: str

    @property
    def budget(self) -> float:
        """The share of calls that may be bad."""
        return round(1 - self.percent / 100, 6)


class Objective(_Model):
    """What is promised of some calls."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z]+(-[a-z]+)*$")]
    service: str
    summary: str
    methods: tuple[str, ...] = Field(min_length=1)
    without: tuple[str, ...] = Field((), alias="except")
    available_percent: Percent
    within_seconds: float | None = Field(None, gt=0)
    within_percent: Percent | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.within_seconds is None) != (self.within_percent is None):
            raise ValueError(f"{self.name}: within_seconds and within_percent go together")
        if self.within_seconds is not None and self.within_seconds not in SECONDS:
            bounds = ", ".join(f"{each:g}" for each in SECONDS)
            raise ValueError(
                f"{self.name}: calls are counted by durations of {bounds} s; within_seconds takes one of these, "
                f"got {self.within_seconds:g}"
            )
        return self

    def covers(self, method: str) -> bool:
        """Whether this promises something of a method, by its full name "package.Service/Method"."""
        return bool(re.fullmatch(self._pattern, method)) and method not in self._left_out

    @property
    def indicators(self) -> list[Indicator]:
        """What is measured for it."""
        calls = f'rpc_method=~"{self._pattern}"'
        if self.without:
            calls += f',rpc_method!~"{"|".join(self._left_out)}"'
        faults = "|".join(FAULTS)
        told = {"objective": self.name, "service": self.service.split(".")[1].rstrip("+") or "all"}
        found = [
            Indicator(
                name=f"{self.name}-available",
                summary=f"{self.summary}: calls that do not fail by a fault of the mesh",
                percent=self.available_percent,
                bad=f'sum(rate({DURATION}_count{{{calls},rpc_response_status_code=~"{faults}"}}[WINDOW])) or vector(0)',
                all=f"sum(rate({DURATION}_count{{{calls}}}[WINDOW]))",
                **told,
            )
        ]
        if self.within_seconds is not None and self.within_percent is not None:
            answered = f'{calls},rpc_response_status_code="OK"'
            everything = f"sum(rate({DURATION}_count{{{answered}}}[WINDOW]))"
            # Exporters write 30 as "30" or "30.0".
            bound = "|".join(sorted({f"{self.within_seconds:g}", str(self.within_seconds)}))
            found.append(
                Indicator(
                    name=f"{self.name}-in-time",
                    summary=f"{self.summary}: answers within {self.within_seconds:g} s",
                    percent=self.within_percent,
                    bad=f'{everything} - sum(rate({DURATION}_bucket{{{answered},le=~"{bound}"}}[WINDOW]))',
                    all=everything,
                    **told,
                )
            )
        return found

    @property
    def _pattern(self) -> str:
        return f"{self.service}/({'|'.join(self.methods)})"

    @property
    def _left_out(self) -> tuple[str, ...]:
        return tuple(f"{self.service}/{method}" for method in self.without)


class Objectives(_Model):
    """All that is promised."""

    period_days: int = Field(gt=0)
    reached_percent: Percent
    objectives: tuple[Objective, ...]

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [objective.name for objective in self.objectives]
        if len(set(names)) < len(names):
            raise ValueError("two objectives have one name")
        return self

    @property
    def indicators(self) -> list[Indicator]:
        """Everything that is measured."""
        reached = [self._reached(service) for service in SERVICES]
        return [*(indicator for objective in self.objectives for indicator in objective.indicators), *reached]

    def _reached(self, service: str) -> Indicator:
        calls = f'job="gateway",envoy_cluster_name="{service}"'
        return Indicator(
            name=f"reached-{service}",
            objective="reached",
            service=service,
            summary=f"Calls that reach {service} through the gateway",
            percent=self.reached_percent,
            bad=f'sum(rate({REACHED}{{{calls},envoy_response_code="503"}}[WINDOW])) or vector(0)',
            all=f"sum(rate({REACHED}_completed{{{calls}}}[WINDOW]))",
        )


def read(path: Path = FILE) -> Objectives:
    """The objectives of a file. Raises ValueError that says what is wrong with it."""
    return Objectives.model_validate(yaml.safe_load(path.read_text()))
