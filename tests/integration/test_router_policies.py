"""Traffic policies over real sockets: for models, on several replicas, and what is refused."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf import json_format

from maas.router.v1 import graph_pb2, router_pb2_grpc, traffic_pb2
from maas.router.v1 import router_pb2 as pb
from tests.failure import failure, refusal
from tests.integration.router_mesh import Mesh
from tests.integration.traffic import (
    BOUND_SECONDS,
    GREET,
    SENTIMENT,
    Judges,
    canary,
    create,
    delete,
    get,
    run,
    seen,
    set_policy,
    until,
    until_judged,
    update,
    versions,
    yaml,
)

LISTENING = """
name: greet
summary: Hears.
inputs: {sound: {kind: data, stream: true, summary: A sound.}}
run:
  stream:
    - node: hear
      each: inputs.sound
      call: maas.speech.v1.SpeechService/Recognize
      request: {audio: {content: inputs.sound}}
outputs: {text: {each: hear, value: hear.transcript, summary: What was said.}}
"""


@pytest.fixture
async def mesh():
    return Mesh(Judges())


@pytest.fixture
async def stubs(mesh, tmp_path):
    """Two replicas on one store."""
    store = f"sqlite:///{tmp_path}/state.sqlite"
    async with mesh.routers(2, graphs_directory=tmp_path, store_url=store) as channels, asyncio.timeout(60):
        yield [router_pb2_grpc.RouterServiceStub(channel) for channel in channels]


@pytest.fixture
def stub(stubs):
    return stubs[0]


async def test_a_model_is_chosen_where_a_node_names_none(mesh, stub):
    """The request goes out with the policy's model; one that the graph names stays, and "" is the service's own."""
    version = await create(stub, "")
    for model in ("stern", "judge", ""):
        await set_policy(stub, {model: 1}, SENTIMENT)
        await run(stub)
        assert mesh.nlp.request.model == model
    await update(stub, "judge", summary="Names a model.")
    await set_policy(stub, {"stern": 1}, SENTIMENT)
    await run(stub)
    assert mesh.nlp.request.model == "judge"
    await run(stub, graph=f"greet@{version}")
    assert mesh.nlp.request.model == "stern"
    assert [(each.variant, each.calls) for each in (await get(stub, SENTIMENT)).statistics] == [("stern", 1)]


async def test_a_model_takes_over(stub):
    """A canary may be a model; its score is an expression over the method's answer."""
    await create(stub, "")
    score = canary("judge", steps=[0.5, 1], score="answer.results[0].score")
    await set_policy(stub, {"stern": 1}, SENTIMENT, canary=score)
    _, policy = await until_judged(stub, SENTIMENT)
    assert policy.canary_status.state == traffic_pb2.CANARY_STATE_PROMOTED
    assert (await run(stub)).outputs["score"].number == 0.5


async def test_a_mirrored_model_is_none_of_the_run(mesh, stub):
    """A shadow that hangs, or is asked besides, is not in the records of the run, and its answer is not given."""
    await create(stub, "")
    shadow = {"variant": "stern", "share": 1, "agreement": "answer.results[0].score - shadow.results[0].score"}
    await set_policy(stub, {"judge": 1}, SENTIMENT, shadow=shadow)
    answer = await run(stub)
    assert (answer.outputs["score"].number, answer.nodes[0].runs) == (0.5, 1)

    async def compared():
        return (await seen(stub, "stern", SENTIMENT)).agreement == 0.375

    await until(compared)
    assert mesh.nlp.asked == {"judge": 1, "stern": 1}


async def test_a_callers_fault_is_counted_but_is_no_error(stub):
    """Calls that ended, none of which failed by the mesh's fault."""
    current = (await stub.CreateGraph(graph_pb2.CreateGraphRequest(yaml=yaml("picky")))).graph.version
    await set_policy(stub, {current: 1})
    for _ in range(3):
        code, _, _, _ = await failure(run(stub))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
    statistics = await seen(stub, current)
    assert (statistics.calls, statistics.errors) == (3, 0)


async def test_who_is_late_is_told(stub):
    """A policy with an older etag is ABORTED and changes nothing; without one it replaces what there is."""
    current = await create(stub, "judge")
    first = await set_policy(stub, {current: 1})
    second = await set_policy(stub, {current: 2})
    assert first.etag != second.etag
    for call in (set_policy(stub, {current: 3}, etag=first.etag), delete(stub, etag=first.etag)):
        code, info, _, _ = await failure(call)
        assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert (await get(stub)).shares[0].weight == 2
    third = await set_policy(stub, {current: 3}, etag=second.etag)
    await delete(stub, etag=third.etag)
    code, info, _, _ = await failure(get(stub))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "TRAFFIC_POLICY_NOT_FOUND")
    code, _, _, _ = await failure(set_policy(stub, {current: 1}, etag=third.etag))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_policy_set_by_many_at_once(stubs):
    """Without an etag nobody is refused, at whichever replica; and a canary that stays the same goes on where it is."""
    one, other = stubs
    older, current = await versions(one)

    async def there():
        graphs = (await other.ListGraphs(graph_pb2.ListGraphsRequest())).graphs
        return [graph.version for graph in graphs] == [current] and len(graphs[0].versions) == 2

    await until(there)
    new = canary(older, steps=[0.5, 1])
    await asyncio.gather(*(set_policy(stub, {current: 1}, canary=new) for stub in [one, other] * 2))
    _, judged = await until_judged(one)
    # The other replica may not know of the canary's last step yet.
    again = await set_policy(other, {current: 2}, canary=new)
    assert again.canary_status == judged.canary_status
    assert again.canary_status.state == traffic_pb2.CANARY_STATE_PROMOTED


async def test_replicas_follow_one_another(stubs):
    """What one is told, and what one judged, the other does as well."""
    one, other = stubs
    good, broken = await versions(one, "broken")
    policy = await set_policy(one, {good: 1}, canary=canary(broken, steps=[0.5]))

    async def followed():
        request = traffic_pb2.ListTrafficPoliciesRequest()
        policies = (await other.ListTrafficPolicies(request, timeout=BOUND_SECONDS)).policies
        return [(each.target, each.etag) for each in policies] == [(GREET, policy.etag)]

    await until(followed)
    _, judged = await until_judged(other)
    assert judged.canary_status.state == traffic_pb2.CANARY_STATE_ROLLED_BACK

    async def rolled_back():
        return (await get(one)).canary_status == judged.canary_status

    await until(rolled_back)
    assert {(await run(one, f"user-{number}")).version for number in range(20)} == {good}
    await delete(one)

    async def gone():
        return not (await other.ListTrafficPolicies(traffic_pb2.ListTrafficPoliciesRequest())).policies

    await until(gone)


async def test_a_mesh_without_a_store(mesh, tmp_path):
    """It has no policies, and says so to those who want to set one."""
    async with mesh.router(graphs_directory=tmp_path) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        assert not (await stub.ListTrafficPolicies(traffic_pb2.ListTrafficPoliciesRequest())).policies
        for call in (set_policy(stub, {"judge": 1}, SENTIMENT), delete(stub)):
            code, info, _, _ = await failure(call)
            assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_STORE")


SHARE = [{"variant": "judge", "weight": 1}]


@pytest.mark.parametrize(
    ("field", "policy"),
    [
        ("target", {"target": ""}),
        ("target", {"target": "maas.nlp.v1.NlpService/Nope"}),
        ("target", {"target": "maas.speech.v1.SpeechService/StreamingRecognize"}),
        ("target", {"target": "graphs/greet@1"}),
        ("shares", {"shares": []}),
        ("shares", {"shares": SHARE * 9}),
        ("shares", {"shares": SHARE * 2}),
        ("shares", {"shares": [{"variant": "judge"}]}),
        ("shares[0].weight", {"shares": [{"variant": "judge", "weight": -1}]}),
        ("shares[0].weight", {"shares": [{"variant": "judge", "weight": "NaN"}]}),
        ("shares[0].variant", {"shares": [{"variant": "nobody", "weight": 1}]}),
        ("shares[0].variant", {"target": GREET, "shares": [{"variant": "", "weight": 1}]}),
        ("shares[0].variant", {"target": GREET, "shares": [{"variant": "0", "weight": 1}]}),
        ("shadow.variant", {"shadow": {"share": 1}}),
        ("shadow.variant", {"shadow": {"variant": "nobody", "share": 1}}),
        ("shadow.share", {"shadow": {"variant": "stern"}}),
        ("shadow.agreement", {"shadow": {"variant": "stern", "share": 1, "agreement": "answer.nope"}}),
        ("shadow.agreement", {"shadow": {"variant": "stern", "share": 1, "agreement": "'yes'"}}),
        ("canary.variant", {"canary": {"steps": [1]}}),
        ("canary.variant", {"canary": {"variant": "judge"}}),
        ("canary.variant", {"canary": {"variant": "nobody"}}),
        ("canary.steps", {"canary": {"variant": "stern", "steps": [0.5, 0.5]}}),
        ("canary.steps", {"canary": {"variant": "stern", "steps": [1.5]}}),
        ("canary.min_calls", {"canary": {"variant": "stern", "min_calls": 4}}),
        ("canary.min_time", {"canary": {"variant": "stern", "min_time": "0s"}}),
        ("canary.max_latency_ratio", {"canary": {"variant": "stern", "max_latency_ratio": 0.5}}),
        ("canary.max_error_rate_increase", {"canary": {"variant": "stern", "max_error_rate_increase": 2}}),
        ("canary.score", {"canary": {"variant": "stern", "score": "answer."}}),
    ],
)
async def test_a_wrong_policy_is_refused_by_its_field(stub, field, policy):
    """INVALID_ARGUMENT names what is wrong, and nothing is kept."""
    await create(stub, "judge")
    whole = {"target": SENTIMENT, "shares": SHARE} | policy
    message = json_format.ParseDict(whole, traffic_pb2.TrafficPolicy())
    call = stub.SetTrafficPolicy(traffic_pb2.SetTrafficPolicyRequest(policy=message), timeout=BOUND_SECONDS)
    assert (await refusal(call))[0] == f"policy.{field}"
    assert not (await stub.ListTrafficPolicies(traffic_pb2.ListTrafficPoliciesRequest())).policies


async def test_a_target_must_be_given(stub):
    """GetTrafficPolicy and DeleteTrafficPolicy say that it is required; that of no graph is not found."""
    for call in (get(stub, ""), delete(stub, "")):
        assert await refusal(call) == ("target", "is required")
    code, info, _, _ = await failure(set_policy(stub, {"1": 1}))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GRAPH_NOT_FOUND")


async def test_a_version_with_other_streams_cannot_be_chosen(stub):
    """A policy that names one is refused; one that became wrong by an update fails its calls, which say why."""
    older = await create(stub, "judge")
    await set_policy(stub, {older: 1})
    current = (await stub.UpdateGraph(graph_pb2.UpdateGraphRequest(yaml=LISTENING))).graph.version
    assert (await refusal(set_policy(stub, {older: 1})))[0] == "policy.shares[0].variant"
    request = pb.RunGraphRequest(graph="greet", inputs={"sound": pb.Value(data=b"good")})
    code, info, _, _ = await failure(stub.RunGraph(request, timeout=BOUND_SECONDS))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VERSION_DIFFERS")
    assert (info.metadata["graph"], info.metadata["version"]) == ("greet", older)
    assert (await seen(stub, older)).errors == 1
    await set_policy(stub, {current: 1})
    answer = await stub.RunGraph(request, timeout=BOUND_SECONDS)
    assert (answer.version, answer.outputs["text"].list.values[0].text) == (current, "good")


async def test_a_canary_with_other_inputs_is_to_blame(stub):
    """The caller's inputs are right for the graph as it is, so a version that refuses them is rolled back."""
    other = await create(stub, "judge", text="words")
    current = await update(stub, "judge")
    await set_policy(stub, {current: 1}, canary=canary(other, steps=[0.5]))
    outcomes, policy = await until_judged(stub)
    assert policy.canary_status.state == traffic_pb2.CANARY_STATE_ROLLED_BACK
    assert set(outcomes) == {current, grpc.StatusCode.FAILED_PRECONDITION}
