"""What nodes do about services that fail, are slow or are gone, over real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import grpc
import pytest

from maas.nlp.v1 import nlp_pb2
from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh import errors
from tests.failure import failure
from tests.integration.router_mesh import NLP, FakeNlp, Mesh

BOUND_SECONDS = 20
GONE = errors.Unavailable("gone")
# A site that a text's address leads to, not a part of the mesh.
SILENT = errors.Unavailable("a site does not answer", reason="MEDIA_UNAVAILABLE", retry_after_seconds=1)


class Judge(FakeNlp):
    """Fails as often as told, hangs as often as told, and judges; "gone" is a model that always fails."""

    def __init__(self):
        self.asked = Counter()
        self.failures = []
        self.hangs = 0
        self.hanging = asyncio.Semaphore(0)
        self.left = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def AnalyzeSentiment(self, request, context):
        self.asked[request.model] += 1
        if request.model.startswith("gone"):
            raise GONE
        if self.failures:
            raise self.failures.pop(0)
        if self.hangs:
            self.hangs -= 1
            self.hanging.release()
            try:
                await self.go_on.wait()
            finally:
                self.left.release()
        results = [{"score": 0.5}]
        return nlp_pb2.AnalyzeSentimentResponse(results=results, model=request.model, request_id=request.request_id)


def graph(policies):
    return f"""
name: judge
summary: Judges a text.
inputs:
  text: {{kind: text, summary: A text.}}
  model: {{kind: text, default: "", summary: A model.}}
  id: {{kind: text, default: "", summary: A UUID.}}
run:
  node: judge
  call: maas.nlp.v1.NlpService/AnalyzeSentiment
  request: {{contents: "[inputs.text]", model: inputs.model, request_id: inputs.id}}
  {policies}
outputs:
  score: {{value: "judge.results[0].score", summary: How good it is.}}
  id: {{value: judge.request_id, summary: The UUID.}}
"""


class Router:
    """Runs the graph."""

    def __init__(self, stub):
        self._stub = stub

    async def run(self, text="good", *, tenant="", **inputs):
        """What its node did, and its outputs."""
        given = {name: pb.Value(text=value) for name, value in {"text": text, **inputs}.items()}
        answer = await self._stub.RunGraph(
            pb.RunGraphRequest(graph="judge", inputs=given),
            timeout=BOUND_SECONDS,
            metadata=[("maas-tenant", tenant)] if tenant else [],
        )
        assert answer.outputs["score"].number == 0.5
        return answer.nodes[0], answer.outputs

    async def reason(self, **inputs):
        """Why it fails, or "" when it does not."""
        try:
            await self.run(**inputs)
        except grpc.aio.AioRpcError as error:
            return (await failure(_again(error)))[1].reason
        return ""

    async def until(self, reason, **inputs):
        """Run it until it ends so; the reasons before."""
        async with asyncio.timeout(BOUND_SECONDS):
            reasons = []
            while (found := await self.reason(**inputs)) != reason:
                reasons.append(found)
            return reasons


async def _again(error):
    raise error


@pytest.fixture
def judge():
    return Judge()


@pytest.fixture
def mesh(judge):
    return Mesh(judge)


@pytest.fixture
def routing(mesh, tmp_path):
    """A router whose graph has these policies."""

    @asynccontextmanager
    async def begin(policies="", **settings):
        (tmp_path / "judge.yaml").write_text(graph(policies))
        async with mesh.router(graphs_directory=tmp_path, **settings) as channel, asyncio.timeout(60):
            yield Router(router_pb2_grpc.RouterServiceStub(channel))

    return begin


async def test_what_fails_twice_is_asked_three_times(routing, judge):
    """Without a word about it in the graph; the answer tells how many calls were made beyond the first."""
    judge.failures = [GONE, GONE]
    async with routing() as router:
        node, _ = await router.run()
    assert (judge.asked.total(), node.extra_calls) == (3, 2)


async def test_the_faster_of_two_counts(routing, judge):
    """A call that hangs is made again; the second answers, and the service sees the first one cancelled."""
    judge.hangs = 1
    async with routing("hedge: {after: 0.05s}") as router:
        node, _ = await router.run()
        async with asyncio.timeout(BOUND_SECONDS):
            await judge.left.acquire()
    assert (judge.asked.total(), node.extra_calls) == (2, 1)
    assert not judge.go_on.is_set()


async def test_a_service_that_always_fails_is_left_alone(routing, judge):
    """After ten failures few calls reach it, those that do not say when to come back, and other models answer."""
    async with routing("retry: {attempts: 1}") as router:
        before = await router.until("CIRCUIT_OPEN", model="gone")
        assert (set(before), judge.asked["gone"]) == ({"UNAVAILABLE"}, 10)
        reasons = Counter([await router.reason(model="gone") for _ in range(100)])
        # One a second at first, and then fewer.
        assert judge.asked["gone"] < 25
        assert reasons["CIRCUIT_OPEN"] > 75
        await router.run()


async def test_an_open_circuit_says_when_to_come_back(routing):
    """UNAVAILABLE with RetryInfo, the graph and the node."""
    async with routing("retry: {attempts: 1}") as router:
        await router.until("CIRCUIT_OPEN", model="gone")
        code, info, _, retry = await failure(router.run(model="gone"))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "CIRCUIT_OPEN")
        assert (info.metadata["graph"], info.metadata["node"]) == ("judge", "judge")
        assert 0 < retry.retry_delay.ToMilliseconds() <= 1200


async def test_a_killed_service_comes_back(routing, mesh):
    """Its circuit opens when it is gone, and closes after it is there again."""
    async with routing("retry: {attempts: 1}") as router:
        await router.run()
        await mesh.stop(NLP)
        assert len(await router.until("CIRCUIT_OPEN")) >= 9
        await mesh.start(NLP)
        await router.until("")
        await router.run()


async def test_retries_do_not_multiply_an_outage(routing, judge):
    """When every call to a hundred models fails, half of the budget is spent on trying again, and no more."""
    async with routing("retry: {attempts: 3, backoff: 0.001s}") as router:
        for number in range(100):
            assert await router.reason(model=f"gone-{number}") == "UNAVAILABLE"
    assert 110 < judge.asked.total() <= 150


async def test_addresses_that_nobody_answers_at_harm_nobody(routing, judge):
    """A caller who sends them neither opens the circuit of the service nor takes the retries of others."""
    judge.failures = [SILENT] * 200
    async with routing("retry: {attempts: 3, backoff: 0.001s}") as router:
        for _ in range(60):
            assert await router.reason() == "MEDIA_UNAVAILABLE"
        judge.failures = [GONE, GONE]
        node, _ = await router.run()
    assert node.extra_calls == 2


async def test_equal_requests_are_asked_once(routing, judge):
    """For as long as the graph says; ids are no part of the question, and each caller gets its own back."""
    one, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    async with routing("cache: {ttl: 600s}") as router:
        first, outputs = await router.run(id=one)
        assert (first.cached, outputs["id"].text) == (0, one)
        for id_ in (other, "", one):
            again, outputs = await router.run(id=id_)
            assert (again.cached, outputs["id"].text) == (1, id_)
        assert judge.asked.total() == 1
        await router.run("bad")
        await router.run(model="other")
    assert judge.asked.total() == 3


async def test_answers_are_kept_for_each_tenant(routing, judge):
    """What was answered to one is not told to another, nor to who calls in nobody's name."""
    async with routing("cache: {ttl: 600s}") as router:
        cached = [(await router.run(tenant=tenant))[0].cached for tenant in ("a", "b", "", "a", "b", "")]
    assert cached == [0, 0, 0, 1, 1, 1]
    assert judge.asked.total() == 3


async def test_a_full_queue_refuses(routing, judge):
    """One call runs, one waits for its turn, and the third is RESOURCE_EXHAUSTED; those two are answered."""
    judge.hangs = 2
    async with routing("limit: {at_once: 1, queue: 1}") as router:
        calls = [asyncio.create_task(router.run()) for _ in range(3)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        code, info, _, _ = await failure(done.pop())
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        async with asyncio.timeout(BOUND_SECONDS):
            await judge.hanging.acquire()
        assert judge.asked.total() == 1
        judge.go_on.set()
        assert len(await asyncio.gather(*waiting)) == 2
