"""`maas graph traffic`: which version of a graph, or which model, answers how much of the calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
import yaml
from google.protobuf.json_format import ParseDict, ParseError
from rich.console import Group, RenderableType
from rich.text import Text

from maas.router.v1 import traffic_pb2 as pb
from services.cli.client import connect
from services.cli.graph.options import SERVICE, Etag
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout
from services.cli.output import milliseconds, seconds, show, table
from services.cli.texts import read_file

app = typer.Typer(
    no_args_is_help=True,
    help="Which version of a graph, or which model, answers how much of the calls.\n\nA TARGET is a graph, whose "
    "variants are versions, or a method that nodes call, such as maas.nlp.v1.NlpService/AnalyzeSentiment, whose "
    "variants are models.",
)


def _target(text: str) -> str:
    """A name without a slash is a graph's."""
    return text if "/" in text or not text else f"graphs/{text}"


Target = Annotated[str, typer.Argument(metavar="TARGET", callback=_target, help="A graph, or package.Service/Method.")]


@app.command()
def get(target: Target, *, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """Show a policy, how far its canary is, and what the router saw of each variant."""
    with connect(address, timeout) as mesh:
        request = pb.GetTrafficPolicyRequest(target=target)
        answer = mesh.call(f"{SERVICE}/GetTrafficPolicy", request, pb.GetTrafficPolicyResponse)
        show(answer, _policy(answer.policy), as_json=as_json)


@app.command("list")
def listing(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the policies."""
    with connect(address, timeout) as mesh:
        request = pb.ListTrafficPoliciesRequest()
        answer = mesh.call(f"{SERVICE}/ListTrafficPolicies", request, pb.ListTrafficPoliciesResponse)
        made = table("target", "policy")
        for policy in answer.policies:
            made.add_row(policy.target, "\n".join(_parts(policy)))
        show(answer, made, as_json=as_json)


@app.command("set")
def setting(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", callback=_target, help="A graph, or package.Service/Method.")
    ] = "",
    *,
    address: Address,
    file: Annotated[
        str, typer.Option(metavar="FILE", help="The policy, YAML as maas.router.v1.TrafficPolicy has it; options win.")
    ] = "",
    share: Annotated[
        list[str] | None, typer.Option(metavar="VARIANT=WEIGHT", help="Who answers, and how much. Repeat.")
    ] = None,
    shadow: Annotated[
        str,
        typer.Option(metavar="VARIANT=SHARE", help="Asked besides for this share, 0 to 1; compared, never returned."),
    ] = "",
    agreement: Annotated[
        str, typer.Option(metavar="CEL", help="With --shadow: how well `answer` and `shadow` agree.")
    ] = "",
    canary: Annotated[str, typer.Option(metavar="VARIANT", help="Takes over step by step, or is rolled back.")] = "",
    step: Annotated[
        list[float] | None, typer.Option(metavar="SHARE", help="With --canary: its share, rising, 0 to 1. Repeat.")
    ] = None,
    min_calls: Annotated[int, typer.Option(help="With --canary: calls before a step is judged; 0 means 50.")] = 0,
    min_seconds: Annotated[float, typer.Option(help="With --canary: shortest time of a step; 0 means 60.")] = 0.0,
    score: Annotated[str, typer.Option(metavar="CEL", help="With --canary: how good an `answer` is, a number.")] = "",
    etag: Etag = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Set a policy: maas graph traffic set look-twice --share 1f6a0c2b9d3e=1 --canary 77aa01b2c3d4 --step .1."""
    if not (target or file):
        raise typer.BadParameter("give a TARGET, or --file")
    policy = _read(file) if file else pb.TrafficPolicy()
    policy.target = target or policy.target
    policy.etag = etag or policy.etag
    if share:
        del policy.shares[:]
        policy.shares.extend(
            pb.TrafficShare(variant=variant, weight=weight) for variant, weight in _pairs(share, "--share")
        )
    for variant, part in _pairs([shadow] if shadow else [], "--shadow"):
        policy.shadow.MergeFrom(pb.ShadowPolicy(variant=variant, share=part, agreement=agreement))
    if canary:
        policy.canary.MergeFrom(pb.CanaryPolicy(variant=canary, steps=step or [], min_calls=min_calls, score=score))
        if min_seconds:
            policy.canary.min_time.FromNanoseconds(int(min_seconds * 1e9))
    _need(agreement, "--agreement", shadow, "--shadow")
    _need(
        step or min_calls or min_seconds or score, "--step, --min-calls, --min-seconds and --score", canary, "--canary"
    )
    with connect(address, timeout) as mesh:
        request = pb.SetTrafficPolicyRequest(policy=policy)
        answer = mesh.call(f"{SERVICE}/SetTrafficPolicy", request, pb.SetTrafficPolicyResponse)
        show(answer, _policy(answer.policy), as_json=as_json)


@app.command()
def delete(
    target: Target, *, address: Address, etag: Etag = "", timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False
) -> None:
    """Delete a policy: the current version, or the default model, answers again."""
    with connect(address, timeout) as mesh:
        request = pb.DeleteTrafficPolicyRequest(target=target, etag=etag)
        answer = mesh.call(f"{SERVICE}/DeleteTrafficPolicy", request, pb.DeleteTrafficPolicyResponse)
        show(answer, f"{target}: deleted", as_json=as_json)


def _read(file: str) -> pb.TrafficPolicy:
    """A policy in YAML. What is none is wrong usage."""
    try:
        found: Any = yaml.safe_load(read_file(file))
        if not isinstance(found, dict):
            raise typer.BadParameter(f"{file} has no policy: it takes fields such as target and shares")
        return ParseDict(found, pb.TrafficPolicy())
    except (yaml.YAMLError, ParseError) as error:
        raise typer.BadParameter(f"{file}: {' '.join(str(error).split())}") from None


def _pairs(texts: list[str], option: str) -> Iterator[tuple[str, float]]:
    for text in texts:
        variant, sign, number = text.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            sign = ""
        if not sign:
            raise typer.BadParameter(f"takes VARIANT=NUMBER, got {text!r}", param_hint=option)
        yield variant, weight


def _need(given: object, option: str, other: object, other_option: str) -> None:
    if given and not other:
        raise typer.BadParameter(f"{option} goes with {other_option}")


def _parts(policy: pb.TrafficPolicy) -> Iterator[str]:
    """A policy in words, a line each."""
    whole = sum(share.weight for share in policy.shares) or 1.0
    yield from (f"{share.variant or 'the default'}: {share.weight / whole:.0%}" for share in policy.shares)
    if policy.HasField("canary"):
        status = policy.canary_status
        state = pb.CanaryState.Name(status.state).removeprefix("CANARY_STATE_").lower().replace("_", " ")
        step = f", step {status.step + 1}" if status.state == pb.CANARY_STATE_RUNNING else ""
        reason = f": {status.reason}" if status.reason else ""
        yield f"{policy.canary.variant}: canary, {state}{step}{reason}"
    if policy.HasField("shadow"):
        yield f"{policy.shadow.variant}: shadow of {policy.shadow.share:.0%}"


def _policy(policy: pb.TrafficPolicy) -> RenderableType:
    """What it says, and what the router saw."""
    told = Text(policy.target, "bold")
    for part in _parts(policy):
        told.append(f"\n{part}", "default")
    if policy.etag:
        told.append(f"\netag {policy.etag}", "dim")
    if not policy.statistics:
        return told
    made = table("variant", "calls", "errors", "p50", "p95", "score", "agreement", right="calls errors p50 p95")
    for each in policy.statistics:
        made.add_row(
            each.variant or "the default",
            str(each.calls),
            str(each.errors),
            milliseconds(seconds(each.p50)),
            milliseconds(seconds(each.p95)),
            f"{each.score:.3f}" if policy.canary.score else "",
            f"{each.agreement:.3f}" if each.variant == policy.shadow.variant and policy.HasField("shadow") else "",
        )
    return Group(told, "", made)
