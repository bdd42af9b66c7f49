"""`maas models rollouts` and `maas models versions`: what the service of models knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from maas.models.v1 import models_pb2 as pb
from maas.models.v1 import rollout_pb2
from services.cli.client import connect
from services.cli.models.following import SERVICE, state
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout
from services.cli.output import show, table


def rollouts(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the last rollout of each model: how far it is, and why."""
    answer = rollout_pb2.ListRolloutsResponse()
    with connect(address, timeout) as mesh:
        while True:
            request = rollout_pb2.ListRolloutsRequest(page_token=answer.next_page_token)
            page = mesh.call(f"{SERVICE}/ListRollouts", request, rollout_pb2.ListRolloutsResponse)
            answer.rollouts.extend(page.rollouts)
            answer.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
        show(answer, _rollouts(answer.rollouts), as_json=as_json)


def versions(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Only this one.")] = "",
    *,
    address: Address,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Show which versions of each model every Triton serves."""
    answer = pb.ListModelsResponse()
    with connect(address, timeout) as mesh:
        while not model:
            request = pb.ListModelsRequest(page_token=answer.next_page_token)
            page = mesh.call(f"{SERVICE}/ListModels", request, pb.ListModelsResponse)
            answer.models.extend(page.models)
            answer.next_page_token = page.next_page_token
            if not page.next_page_token:
                answer.replicas.extend(page.replicas)
                break
        if model:
            one = mesh.call(f"{SERVICE}/GetModel", pb.GetModelRequest(name=model), pb.GetModelResponse)
            answer.models.append(one.model)
        show(answer, _versions(answer), as_json=as_json)


def _rollouts(found: Iterable[rollout_pb2.Rollout]) -> Table:
    made = table("model", "version", "before", "state", "replicas", "reason", right="version before")
    for each in found:
        having = sum(each.version in replica.ready_versions for replica in each.replicas)
        done = each.settled or each.state == rollout_pb2.ROLLOUT_STATE_RUNNING
        made.add_row(
            each.model,
            str(each.version),
            str(each.previous_version),
            state(each) if done else f"{state(each)}, not everywhere",
            f"{having} of {len(each.replicas)} serve {each.version}",
            each.reason,
        )
    return made


def _versions(answer: pb.ListModelsResponse) -> Table:
    made = table("model", "replica", "versions")
    for model in answer.models:
        for number, replica in enumerate(model.replicas):
            made.add_row(model.name if not number else "", replica.replica, _words(replica))
    for server in answer.replicas:
        if server.HasField("status"):
            made.add_row("", server.name, Text(server.status.message, "red"))
    return made


def _words(replica: pb.ModelReplica) -> Text:
    told = Text()
    for each in replica.versions:
        ready = each.state == pb.MODEL_VERSION_STATE_READY
        word = pb.ModelVersionState.Name(each.state).removeprefix("MODEL_VERSION_STATE_").lower()
        told.append(", " if told else "")
        told.append(str(each.version) if ready else f"{each.version} {word}", "" if ready else "dim")
        if each.reason and not ready:
            told.append(f" ({each.reason})", "dim")
    return told or Text("none", "dim")
