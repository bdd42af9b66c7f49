"""A real Envoy with the configurations that are committed for Kubernetes, in front of a real gRPC server."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc.aio
import pytest

from deploy.k8s import gateway as described
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings
from tests.gateway_pod import Moved, envoy

NLP = "maas.nlp.v1.NlpService"
VARIANTS = {variant.name: variant for variant in described.variants()}


class Nlp(nlp_pb2_grpc.NlpServiceServicer):
    """Finds everything good."""

    async def AnalyzeSentiment(
        self, request: pb.AnalyzeSentimentRequest, context: grpc.aio.ServicerContext
    ) -> pb.AnalyzeSentimentResponse:
        """The model is the tenant, as the gateway told it."""
        metadata = dict(context.invocation_metadata())
        return pb.AnalyzeSentimentResponse(model=metadata.get("maas-tenant", ""))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@asynccontextmanager
async def running(pod: Moved, name: str, edit: Any = lambda _: None) -> AsyncIterator[dict[str, int]]:
    """A variant in front of nlp: its ports by the names of its listeners.

    Every other service, the collector among them, has a name that nobody resolves.
    """
    settings = ServiceSettings(listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", notice_seconds=0.01)
    servicer = Servicer(NLP, nlp_pb2_grpc.add_NlpServiceServicer_to_server, Nlp())
    async with serving([servicer], settings) as port:
        ports = {listener: free_port() for listener in ("public", "status", "administration")}
        configuration = pod.configuration(VARIANTS[name], {**ports, "nlp": port}, edit)
        with envoy(configuration, pod.folder / "envoy.log"):
            await ready(ports["status"])
            yield ports


async def ready(port: int) -> None:
    """Wait until a kubelet would find the gateway ready."""
    async with asyncio.timeout(20):
        while True:
            with suppress(OSError):
                await asyncio.to_thread(read, f"http://127.0.0.1:{port}/ready")
                return
            await asyncio.sleep(0.05)


def read(url: str, body: dict[str, Any] | None = None, context: ssl.SSLContext | None = None) -> str:
    """What lies there. Raises OSError."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read().decode()


async def answered(channel: grpc.aio.Channel, metadata: Any = None) -> pb.AnalyzeSentimentResponse:
    """The answer to a call, once nlp is known to be well."""
    stub = nlp_pb2_grpc.NlpServiceStub(channel)
    async with asyncio.timeout(20):
        while True:
            try:
                return await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["fine"]), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.05)


async def test_grpc_and_json_pass_without_a_collector(pod: Moved) -> None:
    """What base renders serves gRPC and JSON though nobody takes its spans, and says which trace a call has."""
    async with running(pod, "gateway") as ports:
        public = f"127.0.0.1:{ports['public']}"
        async with grpc.aio.insecure_channel(public) as channel:
            assert (await answered(channel, (("maas-tenant", "acme"),))).model == "acme"
            call = nlp_pb2_grpc.NlpServiceStub(channel).AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["fine"]))
            assert len(dict(await call.initial_metadata())["x-trace-id"]) == 32
        address = f"http://{public}/v1/nlp:analyzeSentiment"
        found = json.loads(await asyncio.to_thread(read, address, {"contents": ["fine"]}))
        assert found["model"] == ""
        assert (pod.folder / "envoy.log").read_text().count("[warning]") == 0


async def test_prometheus_reads_statistics_and_nobody_stops_the_gateway(pod: Moved) -> None:
    """From outside the pod statistics can be read, and nothing that rules the gateway is there."""
    async with running(pod, "gateway") as ports:
        status = f"http://127.0.0.1:{ports['status']}"
        assert "envoy_cluster_membership_healthy" in await asyncio.to_thread(read, f"{status}/stats/prometheus")
        for path in ("/config_dump", "/quitquitquit", "/stats"):
            with pytest.raises(OSError, match="404"):
                await asyncio.to_thread(read, f"{status}{path}")
        with pytest.raises(OSError, match="404"):
            await asyncio.to_thread(read, f"{status}/ready", {})


@pytest.mark.parametrize("name", ["gateway-tls", "gateway-tls-mtls"])
async def test_tls(pod: Moved, name: str) -> None:
    """With TLS both gRPC and JSON come over it; with mutual TLS only those with a certificate come in."""
    authority = pod.authority.cert_pem.bytes()
    caller = pod.authority.issue_cert("caller.example")
    key, chain = caller.private_key_pem.bytes(), b"".join(each.bytes() for each in caller.cert_chain_pems)
    async with running(pod, name) as ports:
        public = f"127.0.0.1:{ports['public']}"
        known = grpc.ssl_channel_credentials(authority, key, chain)
        async with grpc.aio.secure_channel(public, known) as channel:
            assert await answered(channel) == pb.AnalyzeSentimentResponse()
        trusting = ssl.create_default_context(cadata=authority.decode())
        address = f"https://{public}/v1/nlp:analyzeSentiment"
        if name == "gateway-tls":
            assert "model" in await asyncio.to_thread(read, address, {"contents": ["fine"]}, trusting)
        else:
            with pytest.raises(OSError, match=r"(?i)certificate|reset|eof|closed"):
                await asyncio.to_thread(read, address, {"contents": ["fine"]}, trusting)
            caller.private_key_and_cert_chain_pem.write_to_path(str(pod.folder / "caller.pem"))
            trusting.load_cert_chain(pod.folder / "caller.pem")
            assert "model" in await asyncio.to_thread(read, address, {"contents": ["fine"]}, trusting)


async def test_tokens_name_the_tenant(pod: Moved) -> None:
    """The tenant comes from the token, whatever the caller says, and nobody calls without one."""
    (pod.folder / "keys.json").write_text(pod.issuer.keys)

    def local_keys(configuration: dict[str, Any]) -> None:
        """Nobody answers at issuer.example.com here."""
        filters = configuration["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
        verifier = next(each for each in filters[0]["typed_config"]["http_filters"] if "jwt_authn" in each["name"])
        token = verifier["typed_config"]["providers"]["token"]
        del token["remote_jwks"]
        token["local_jwks"] = {"filename": str(pod.folder / "keys.json")}

    async with running(pod, "gateway-identity", local_keys) as ports:
        claims = {"iss": "https://issuer.example.com/", "aud": "maas", "tenant": "acme"}
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['public']}") as channel:
            token = (*pod.issuer.bearer(**claims), ("maas-tenant", "other"))
            assert (await answered(channel, token)).model == "acme"
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await answered(channel)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
