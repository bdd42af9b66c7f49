"""Callers who are known by their tokens."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc.aio
import pytest
import trustme
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deploy.gateway.identity import ADMINISTRATION, Identity, Keys, Token
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from tests.failure import failure
from tests.issuer import AUDIENCE, ISSUER, Issuer

ROOT = Path(__file__).resolve().parents[4]
PATH = "/maas.nlp.v1.NlpService/AnalyzeSentiment"
SENTIMENT = "/v1/nlp:analyzeSentiment"
REQUEST = pb.AnalyzeSentimentRequest(contents=["fine"])
ROUTER = "maas.router.v1.RouterService"
# What the router of these tests answers to everything.
REACHED = grpc.StatusCode.INTERNAL
# What changes nothing for anybody else.
HARMLESS = ("Get", "List", "RecordFeedback", "Run", "StreamingRun", "Validate")


@pytest.fixture
def issuer() -> Issuer:
    """Whom the gateway believes."""
    return Issuer()


@pytest.fixture
def configure(tmp_path: Path, issuer: Issuer, request: Any) -> dict[str, Any]:
    """Tokens of the issuer, whose keys lie in a file."""
    keys = tmp_path / "keys" / "jwks.json"
    keys.parent.mkdir()
    keys.write_text(issuer.keys)
    more = getattr(request, "param", {})
    token = Token(ISSUER, (AUDIENCE,), Keys(str(keys)), **more.pop("token", {}))
    return {"identity": Identity(token=token, **more), "metadata": issuer.bearer(tenant="first")}


def _nlp(gateway: Any) -> Any:
    return nlp_pb2_grpc.NlpServiceStub(gateway.channel)


def _http(metadata: Any, **more: str) -> dict[str, str]:
    return {"content-type": "application/json", **dict(metadata), **more}


def _statistics(admin: str) -> str:
    with urllib.request.urlopen(f"http://{admin}/stats", timeout=10) as answer:
        return str(answer.read().decode())


def _reason(body: Any) -> str:
    return str(body["details"][0]["reason"])


async def test_who_may_call(gateway: Any, issuer: Issuer) -> None:
    """What is wrong with a token is said in the mesh's form, to gRPC and to JSON; and no service sees such a call."""
    wrong = [
        ((), "TOKEN_MISSING"),
        (issuer.bearer(exp=int(time.time()) - 3600), "TOKEN_EXPIRED"),
        (issuer.bearer(exp=None), "TOKEN_INVALID"),
        (issuer.bearer(iss="https://other.example/"), "TOKEN_INVALID"),
        (issuer.bearer(aud="other"), "TOKEN_INVALID"),
        (Issuer().bearer(), "TOKEN_INVALID"),
        ((("authorization", "Bearer nonsense"),), "TOKEN_INVALID"),
    ]
    before = len(gateway.nlp.metadata)
    for metadata, reason in wrong:
        code, info, _, _ = await failure(_nlp(gateway).AnalyzeSentiment(REQUEST, metadata=metadata))
        assert (code, info.reason, info.domain) == (grpc.StatusCode.UNAUTHENTICATED, reason, "maas")
        status, _, body = await gateway.http("POST", SENTIMENT, {"contents": ["fine"]}, _http(metadata))
        assert (status, body["code"], _reason(body)) == (401, 16, reason)
    # A token in the address is none, since addresses lie in logs.
    status, _, _ = await gateway.http("POST", f"{SENTIMENT}?access_token={issuer.token()}", {"contents": ["fine"]})
    assert status == 401
    assert len(gateway.nlp.metadata) == before
    web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    _, headers, _ = await gateway.http("POST", PATH, b"", web)
    assert headers["grpc-status"] == "16"
    assert "grpc-status-details-bin" in headers


async def test_services_see_the_verified_tenant_and_no_token(gateway: Any, issuer: Issuer) -> None:
    """Tenant comes from the token alone; what callers say of themselves beside it reaches nobody."""
    lies = (
        ("maas-tenant", "evil"), ("maas-tenant", "worse"), ("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6"),
        ("x-envoy-original-path", "/lie"), ("x-envoy-max-retries", "9"), ("x-forwarded-client-cert", "By=evil"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    )  # fmt: skip
    metadata = (*issuer.bearer(tenant="acme-1"), *lies)
    await _nlp(gateway).AnalyzeSentiment(REQUEST, metadata=metadata)
    status, _, _ = await gateway.http("POST", SENTIMENT, {"contents": ["fine"]}, _http(metadata))
    assert status == 200
    native, transcoded = gateway.nlp.metadata[-2:]
    for seen in (native, transcoded):
        assert seen["maas-tenant"] == "acme-1"
        assert seen["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
        assert "authorization" not in seen
        assert seen["x-forwarded-proto"] == "http"
        assert not {"6.6.6.6", "/lie", "By=evil", "evil", "for=6.6.6.6"} & set(seen.values())
        assert not {"x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms"} & set(seen)


async def test_a_token_without_a_tenant(gateway: Any, issuer: Issuer) -> None:
    """A token must name one tenant as services take them, and a header does not stand in for it."""
    for tenant in (None, "", "No Tenant", "a" * 65, ["acme", "other"], {"name": "acme"}, "a=b"):
        metadata = (*issuer.bearer(tenant=tenant), ("maas-tenant", "acme"))
        code, info, _, _ = await failure(_nlp(gateway).AnalyzeSentiment(REQUEST, metadata=metadata))
        assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NO_TENANT"), tenant
        status, _, body = await gateway.http("POST", SENTIMENT, {"contents": ["fine"]}, _http(metadata))
        assert (status, body["code"], _reason(body)) == (403, 7, "NO_TENANT")


@pytest.mark.parametrize(
    ("configure", "may"),
    [
        ({}, [{"scope": "read maas.admin"}, {"scope": ["maas.admin"]}]),
        ({"token": {"scope_claim": "realm.roles"}}, [{"realm": {"roles": ["x", "maas.admin"]}}]),
    ],
    indirect=["configure"],
)
async def test_only_administrators_change_the_mesh(gateway: Any, issuer: Issuer, may: list[dict[str, Any]]) -> None:
    """The scope decides, word by word."""
    for claims, code in [
        *((each, REACHED) for each in may),
        ({}, grpc.StatusCode.PERMISSION_DENIED),
        ({"scope": "maas.administrator maasXadmin xmaas.admin"}, grpc.StatusCode.PERMISSION_DENIED),
        ({"scope": {"maas.admin": True}}, grpc.StatusCode.PERMISSION_DENIED),
    ]:
        for method in ADMINISTRATION[ROUTER]:
            call = gateway.channel.unary_unary(f"/{ROUTER}/{method}")(b"", metadata=issuer.bearer(**claims))
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call
            assert failed.value.code() is code, (claims, method)
    # Who only reads needs no scope.
    call = gateway.channel.unary_unary(f"/{ROUTER}/ListGraphs")(b"", metadata=issuer.bearer())
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() is REACHED


async def test_no_path_leads_around_the_administrators(gateway: Any, issuer: Issuer) -> None:
    """JSON, gRPC-Web and odd spellings of a path end as the RPC does, or nowhere."""
    headers = _http(issuer.bearer(scope="read"))
    for method, path, body in [
        ("POST", "/v1/graphs", {"graph": {}}),
        ("PATCH", "/v1/graphs", {"graph": {}}),
        ("DELETE", "/v1/graphs/some", None),
        ("PUT", "/v1/traffic", {"policy": {}}),
        ("DELETE", "/v1/traffic/models/some", None),
        ("POST", "//v1//graphs", {"graph": {}}),
        ("POST", "/v1/x/../graphs", {"graph": {}}),
        ("POST", "/v1/%67raphs", {"graph": {}}),
        ("POST", f"/{ROUTER}/CreateGraph", {}),
    ]:
        status, _, answer = await gateway.http(method, path, body, headers)
        assert (status, answer["code"], _reason(answer)) == (403, 7, "ADMINISTRATORS_ONLY"), (method, path)
        for lie in ({"x-http-method-override": "GET"}, {"x-envoy-original-path": "/v1/graphs"}):
            status, _, _ = await gateway.http(method, path, body, headers | lie)
            assert status == 403, (method, path, lie)
    web = {**dict(issuer.bearer()), "content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    for path in (f"/{ROUTER}/CreateGraph", f"/{ROUTER}/CreateGraph?x=y", f"//{ROUTER}/./CreateGraph"):
        _, found, _ = await gateway.http("POST", path, bytes(5), web)
        assert found["grpc-status"] == "7", path
    for path in (
        f"/{ROUTER}/CreateGraph/",
        f"/{ROUTER}/%43reateGraph",
        f"/{ROUTER}/createGraph",
        f"/{ROUTER}/CreateGraph;x",
    ):
        _, found, _ = await gateway.http("POST", path, bytes(5), web)
        assert found.get("grpc-status") in {"7", "12"}, path


def test_every_change_is_for_administrators() -> None:
    """A new RPC of router or models is known to be harmless or listed; of other services what sounds like a change."""
    files = FileDescriptorSet.FromString((ROOT / ".build/protos/maas.binpb").read_bytes()).file
    methods = {s.name: [m.name for m in s.method] for f in files for s in f.service if f.package.startswith("maas.")}
    for service, listed in ADMINISTRATION.items():
        changes = {method for method in methods.pop(service.rpartition(".")[2]) if not method.startswith(HARMLESS)}
        assert changes == set(listed)
    sounding = {m for names in methods.values() for m in names if m.startswith(("Create", "Update", "Delete", "Set"))}
    # People's faces belong to their tenant.
    assert sounding == {"DeleteFace"}


@pytest.mark.parametrize(
    ("configure", "is_open"), [({}, False), ({"open_reflection": True}, True)], indirect=["configure"]
)
async def test_what_needs_no_token(gateway: Any, *, is_open: bool) -> None:
    """Health always, reflection when so configured; a token that is sent all the same does not go on."""
    ask = health_pb2_grpc.HealthStub(gateway.channel).Check(health_pb2.HealthCheckRequest(service=ROUTER))
    assert (await ask).status == health_pb2.HealthCheckResponse.SERVING
    call = reflection_pb2_grpc.ServerReflectionStub(gateway.channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )
    if is_open:
        assert (await call.read()).HasField("list_services_response")
    else:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("configure", [{"rate_limit_per_second": 5, "max_tenants": 3}], indirect=True)
async def test_each_tenant_has_a_rate_of_its_own(gateway: Any, issuer: Issuer) -> None:
    """One who calls too often is told to slow down, and another is not; no tenant's name stands in the statistics."""
    codes = []
    for _ in range(30):
        try:
            await _nlp(gateway).AnalyzeSentiment(REQUEST, metadata=issuer.bearer(tenant="busy"))
        except grpc.aio.AioRpcError as error:
            codes.append(error.code())
    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    for number in range(9):
        await _nlp(gateway).AnalyzeSentiment(REQUEST, metadata=issuer.bearer(tenant=f"calm-{number}"))
    statuses = [
        await gateway.http("POST", SENTIMENT, {"contents": ["fine"]}, _http(issuer.bearer(tenant="json")))
        for _ in range(30)
    ]
    status, _, body = next(each for each in statuses if each[0] != 200)
    assert (status, _reason(body), body["details"][1]["retryDelay"]) == (429, "RATE_LIMITED", "1s")
    statistics = await asyncio.to_thread(_statistics, gateway.admin)
    assert "http_local_rate_limit" in statistics
    assert not [name for name in ("busy", "calm") if name in statistics]


@pytest.fixture
def keys_server(tmp_path: Path, issuer: Issuer) -> Iterator[tuple[int, Path]]:
    """Port of an issuer that gives its keys over TLS, and the authority's certificate."""
    authority = trustme.CA()
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "jwks.json").write_text(issuer.keys)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], tmp_path / "ca.pem"
        server.shutdown()
        thread.join()


class TestKeysOfAnIssuer:
    """Keys that are asked of their issuer."""

    @pytest.fixture
    def configure(self, keys_server: tuple[int, Path], issuer: Issuer) -> dict[str, Any]:
        """The issuer's address."""
        port, authorities = keys_server
        keys = Keys(f"https://localhost:{port}/jwks.json", str(authorities), cache_seconds=1)
        return {"identity": Identity(token=Token(ISSUER, (AUDIENCE,), keys)), "metadata": issuer.bearer()}

    async def test_new_keys_hold_without_a_restart(self, gateway: Any, issuer: Issuer, tmp_path: Path) -> None:
        """The keys are asked for again and again; what the old key signed is then refused."""
        other = Issuer()
        (tmp_path / "served" / "jwks.json").write_text(other.keys)
        async with asyncio.timeout(15):
            while True:
                try:
                    await _nlp(gateway).AnalyzeSentiment(REQUEST, metadata=other.bearer())
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)
        code, info, _, _ = await failure(_nlp(gateway).AnalyzeSentiment(REQUEST, metadata=issuer.bearer()))
        assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


class TestAnIssuerThatIsDown:
    """Keys that cannot be had."""

    @pytest.fixture
    def configure(self) -> dict[str, Any]:
        """The address of nobody."""
        keys = Keys("http://127.0.0.1:1/jwks.json", timeout_seconds=1)
        return {"identity": Identity(token=Token(ISSUER, (AUDIENCE,), keys)), "answers": False}

    async def test_is_not_the_caller_s_fault(self, gateway: Any, issuer: Issuer) -> None:
        """Callers learn that they may try again, and nobody gets in."""
        call = _nlp(gateway).AnalyzeSentiment(REQUEST, metadata=issuer.bearer(), wait_for_ready=True)
        code, info, _, retry = await failure(call)
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "KEYS_UNAVAILABLE")
        assert retry.retry_delay.seconds
        status, _, body = await gateway.http("POST", SENTIMENT, {"contents": ["fine"]}, _http(issuer.bearer()))
        assert (status, body["code"], _reason(body)) == (503, 14, "KEYS_UNAVAILABLE")
        assert not gateway.nlp.metadata


async def test_the_log_names_the_tenant_and_no_token(gateway: Any, issuer: Issuer) -> None:
    """A line has the verified tenant; neither the token nor what the caller claimed."""
    token = issuer.token(tenant="logged")
    metadata = (("authorization", f"Bearer {token}"), ("maas-tenant", "claimed"))
    await _nlp(gateway).AnalyzeSentiment(REQUEST, metadata=metadata)
    await gateway.http(
        "POST", f"{SENTIMENT}?access_token={token}", {"contents": ["fine"]}, _http((), **{"maas-tenant": "claimed"})
    )
    gateway.process.terminate()
    await asyncio.to_thread(gateway.process.wait)
    text = gateway.log.read_text()
    assert token not in text
    assert token.rpartition(".")[2] not in text
    assert "claimed" not in text
    assert "logged" in {json.loads(line)["tenant"] for line in text.splitlines() if line.startswith("{")}
