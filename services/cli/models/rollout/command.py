"""`maas models rollout`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from deploy.local.settings import settings_for
from services.cli.models.rollout.driver import begin, drive
from services.cli.models.rollout.kept import Files
from services.cli.models.rollout.state import Kept, Limits, Rollout, Stage
from services.cli.models.rollout.triton import Triton, TritonError, directly
from services.cli.output import console, errors

_DEFAULT = Limits()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def rollout(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model in Triton.")],
    version: Annotated[
        int | None,
        typer.Argument(min=1, metavar="VERSION", help="The newest version in the repository, a folder of the model."),
    ] = None,
    *,
    back: Annotated[bool, typer.Option("--back", help="Go back to the version before, now.")] = False,
    triton: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="HTTP endpoint of a Triton; once for each. Without it: the local one."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(envvar="MAAS_PORT", help="The local mesh's port; 8080 without it.")
    ] = None,
    min_calls: Annotated[
        int, typer.Option(min=1, help="So many calls the new version must have answered at each step.")
    ] = _DEFAULT.min_calls,
    min_seconds: Annotated[float, typer.Option(min=0, help="A step lasts so long at least.")] = _DEFAULT.min_seconds,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="With too few calls in so long it goes back.")
    ] = _DEFAULT.max_seconds,
    max_error_rate_increase: Annotated[
        float, typer.Option(min=0, max=1, help="So much more of its calls may fail.")
    ] = _DEFAULT.max_error_rate_increase,
    max_latency_ratio: Annotated[
        float, typer.Option(min=0.01, help="So many times as long its calls may take in Triton, on average.")
    ] = _DEFAULT.max_latency_ratio,
) -> None:
    """Let another version of a model take over: on one Triton, on half of them, on all, for as long as it does well.

    Each Triton warms the new version up before calls reach it, and finishes those of the old one. What it does is
    compared with the old version: failures, and time in Triton. When it does worse, all go back. Ctrl-C leaves things
    as they are; the same command goes on. Exit code 1: it went back, or could not begin.
    """
    if not _NAME.fullmatch(model):
        raise typer.BadParameter(f"{model!r} is no name of a model", param_hint="MODEL")
    if (version is None) is not back:
        raise typer.BadParameter("give the version to roll out, or --back", param_hint="VERSION")
    limits = Limits(
        min_calls=min_calls,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        max_error_rate_increase=max_error_rate_increase,
        max_latency_ratio=max_latency_ratio,
    )
    settings = settings_for(port)
    addresses = triton or [f"127.0.0.1:{settings.ports.triton_http}"]
    try:
        ended = _run(addresses, Files(settings.run / "rollouts"), model, version, limits)
    except TritonError as error:
        errors().print(Text(str(error), "red"))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        errors().print("stopped; the same command goes on")
        raise typer.Exit(130) from None
    if (ended.stage is Stage.ROLLED_BACK) is not back:
        raise typer.Exit(1)


def _run(addresses: Sequence[str], kept: Kept, model: str, version: int | None, limits: Limits) -> Rollout:
    replicas = [Triton(address, directly(address)) for address in addresses]
    if version is not None:
        found = begin(lambda: replicas, kept, model, version, limits)
    else:
        known = kept.read(model)
        if known is None:
            raise TritonError(f"no rollout of {model!r} is known here")
        found = known.back("asked for")
        kept.write(found)
    return drive(found, lambda: replicas, kept, lambda line: console().print(Text(line)))
