"""Graphs in versions, models, and traffic policies for them, in front of fake services."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc

from maas.nlp.v1 import nlp_pb2
from maas.router.v1 import graph_pb2, traffic_pb2
from maas.router.v1 import router_pb2 as pb
from services.mesh import errors
from tests.integration.router_mesh import FakeNlp

BOUND_SECONDS = 20
SENTIMENT = "maas.nlp.v1.NlpService/AnalyzeSentiment"
GREET = "graphs/greet"


class Judges(FakeNlp):
    """Models that judge a text: "judge" well, "stern" badly, "broken" not at all, "stuck" never; "picky" takes none."""

    def __init__(self):
        self.asked = Counter()
        self.left = 0

    async def AnalyzeSentiment(self, request, context):
        self.request = request
        self.asked[request.model] += 1
        if request.model == "broken":
            raise errors.Internal("it is broken")
        if request.model == "picky":
            raise errors.InvalidArgument.field("contents", "is not to its taste")
        if request.model == "stuck":
            try:
                await asyncio.Event().wait()
            finally:
                self.left += 1
        score = 0.125 if request.model == "stern" else 0.5
        return nlp_pb2.AnalyzeSentimentResponse(results=[{"score": score}])

    async def GetNlpConfig(self, request, context):
        models = [{"name": name, "task": "sentiment-analysis"} for name in ("judge", "stern", "broken", "stuck")]
        return nlp_pb2.GetNlpConfigResponse(models=models)


def yaml(model="", summary="Judges a text.", text="text"):
    named = f""", model: '"{model}"'""" if model else ""
    return f"""
name: greet
summary: {summary}
inputs:
  {text}: {{kind: text, summary: A text.}}
run:
  node: judge
  call: {SENTIMENT}
  request: {{contents: "[inputs.{text}]"{named}}}
outputs:
  score: {{value: "judge.results[0].score", summary: How good it is.}}
"""


async def create(stub, *args, **how):
    return (await stub.CreateGraph(graph_pb2.CreateGraphRequest(yaml=yaml(*args, **how)))).graph.version


async def update(stub, *args, **how):
    return (await stub.UpdateGraph(graph_pb2.UpdateGraphRequest(yaml=yaml(*args, **how)))).graph.version


async def versions(stub, other="judge"):
    """An older version, and the current one, whose model is another."""
    current = await create(stub, other)
    older = await update(stub, "judge", summary="Judges first.")
    # What is current now is what was created.
    assert await update(stub, other) == current
    return older, current


async def run(stub, key="", graph="greet"):
    inputs = {"text": pb.Value(text="good")}
    return await stub.RunGraph(pb.RunGraphRequest(graph=graph, inputs=inputs, routing_key=key), timeout=BOUND_SECONDS)


async def set_policy(stub, shares, target=GREET, **parts):
    policy = traffic_pb2.TrafficPolicy(
        target=target, shares=[{"variant": name, "weight": weight} for name, weight in shares.items()], **parts
    )
    answer = await stub.SetTrafficPolicy(traffic_pb2.SetTrafficPolicyRequest(policy=policy), timeout=BOUND_SECONDS)
    return answer.policy


async def get(stub, target=GREET):
    request = traffic_pb2.GetTrafficPolicyRequest(target=target)
    return (await stub.GetTrafficPolicy(request, timeout=BOUND_SECONDS)).policy


def delete(stub, target=GREET, etag=""):
    request = traffic_pb2.DeleteTrafficPolicyRequest(target=target, etag=etag)
    return stub.DeleteTrafficPolicy(request, timeout=BOUND_SECONDS)


async def seen(stub, variant, target=GREET):
    """What a variant did."""
    found = {each.variant: each for each in (await get(stub, target)).statistics}
    return found.get(variant, traffic_pb2.VariantStatistics())


def canary(variant, **how):
    policy = traffic_pb2.CanaryPolicy(variant=variant, min_calls=5, max_latency_ratio=100, **how)
    policy.min_time.FromMilliseconds(100)
    return policy


async def until_judged(stub, target=GREET):
    """Call until the canary is over; what the calls became, and the policy."""
    outcomes, number = Counter(), 0
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            policy = await get(stub, target)
            if policy.canary_status.state != traffic_pb2.CANARY_STATE_RUNNING:
                return outcomes, policy
            calls = [run(stub, f"user-{number + n}") for n in range(8)]
            number += len(calls)
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                outcomes[answer.code() if isinstance(answer, grpc.aio.AioRpcError) else answer.version] += 1


async def until(condition):
    async with asyncio.timeout(BOUND_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)
