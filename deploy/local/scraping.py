"""Prometheus beside a mesh on one machine: where its programs are, and what it is told to collect.

A target's job is the word that also names the process, the pod and the trace's service: rules and dashboards ask by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local.ports import HOST, address
from deploy.local.settings import REPOSITORY, LocalSettings

RULES = tuple(REPOSITORY / "deploy" / "observability" / "rules" / f"{name}.yaml" for name in ("alerts", "objectives"))
# Five seconds show a demo; what is kept is bounded by time and by size, whichever comes first.
_INTERVAL, _KEPT_TIME, _KEPT_SIZE = "5s", "24h", "512MB"


@dataclass(frozen=True)
class Programs:
    """Prometheus, as `make prometheus` left it in the build directory.

    web: its pages, where they do not lie where the program expects them.
    """

    prometheus: Path
    promtool: Path
    web: Path | None


def programs(build: Path) -> Programs | None:
    """The programs, None when this machine has none."""
    root = build / "prometheus"
    found = root / "usr" / "bin"
    if not all((found / name).is_file() for name in ("prometheus", "promtool")):
        return None
    web = root / "usr" / "share" / "prometheus" / "web"
    return Programs(found / "prometheus", found / "promtool", web if web.is_dir() else None)


def configuration_file(settings: LocalSettings) -> Path:
    """Where the rendered configuration lies."""
    return settings.run / "prometheus.yaml"


def configuration(settings: LocalSettings, services: Iterable[str]) -> str:
    """What Prometheus collects from a mesh, as it reads it.

    services: processes that have a port NAME_metrics.
    """
    ports = settings.ports
    jobs = [
        _job("triton", ports.triton_metrics),
        _job("gateway", ports.gateway_admin, metrics_path="/stats/prometheus"),
        _job("prometheus", ports.prometheus),
        *(_job(name, getattr(ports, f"{name}_metrics")) for name in services),
    ]
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": _INTERVAL, "scrape_timeout": _INTERVAL, "evaluation_interval": _INTERVAL},
            "rule_files": [str(path) for path in RULES],
            "scrape_configs": jobs,
        },
        sort_keys=False,
    )


def command(settings: LocalSettings, found: Programs) -> tuple[str, ...]:
    """How Prometheus is started."""
    arguments = {
        "config.file": configuration_file(settings),
        "web.listen-address": address(settings.ports.prometheus),
        "web.page-title": "MaaS Mesh",
        "storage.tsdb.path": settings.run / "prometheus",
        "storage.tsdb.retention.time": _KEPT_TIME,
        "storage.tsdb.retention.size": _KEPT_SIZE,
        # From a bar of a histogram to a trace that is in it.
        "enable-feature": "exemplar-storage",
        "log.level": "warn",
    }
    if found.web:
        arguments["web.local-assets"] = f"{found.web}/"
    return (str(found.prometheus), *(f"--{name}={value}" for name, value in arguments.items()))


def _job(name: str, port: int, **more: str) -> Mapping[str, Any]:
    return {"job_name": name, **more, "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
