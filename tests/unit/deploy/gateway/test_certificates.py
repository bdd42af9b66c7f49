"""Callers who are known by their certificates, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from deploy.gateway.identity import ADMINISTRATION, Certificates, Identity
from deploy.gateway.render import Tls, secrets
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from tests.failure import failure

REQUEST = pb.AnalyzeSentimentRequest(contents=["fine"])
ROUTER = "maas.router.v1.RouterService"
ADMINISTRATOR = "spiffe://maas.example/tenant/operators/admin"


@pytest.fixture
def server_authority() -> trustme.CA:
    """Who signed the gateway's certificate."""
    return trustme.CA()


@pytest.fixture
def caller_authority() -> trustme.CA:
    """Who signs its callers'."""
    return trustme.CA()


def _credentials(server: trustme.CA, caller: tuple[bytes, bytes] | None) -> grpc.ChannelCredentials:
    key, chain = caller or (None, None)
    return grpc.ssl_channel_credentials(server.cert_pem.bytes(), key, chain)


def _caller(authority: trustme.CA, *names: str) -> tuple[bytes, bytes]:
    """Key and certificate of a caller with these URIs as names."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names]), critical=True
        )
        .sign(_private(authority), SHA256())
    )
    encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded, certificate.public_bytes(Encoding.PEM)


def _private(authority: trustme.CA) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _install(certificate: trustme.LeafCert, folder: Path, version: str) -> None:
    """As Kubernetes renews a Secret: a new folder, to which a link is turned."""
    (folder / version).mkdir(parents=True)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / version / "tls.crt"))
    certificate.private_key_pem.write_to_path(str(folder / version / "tls.key"))
    (folder / "turned").symlink_to(version)
    (folder / "turned").rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@pytest.fixture
def configure(tmp_path: Path, server_authority: trustme.CA, caller_authority: trustme.CA) -> dict[str, Any]:
    """TLS both ways."""
    folder = tmp_path / "tls"
    _install(server_authority.issue_cert("127.0.0.1"), folder, "first")
    caller_authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    tls = Tls(str(folder / "tls.crt"), str(folder / "tls.key"), str(tmp_path / "ca.crt"), directory=str(tmp_path))
    for name, text in secrets(tls).items():
        (tmp_path / name).write_text(text)
    caller = _caller(caller_authority, "spiffe://maas.example/tenant/acme")
    return {
        "tls": tls,
        "identity": Identity(certificates=Certificates(administrators=ADMINISTRATOR)),
        "credentials": _credentials(server_authority, caller),
    }


async def test_the_tenant_stands_in_the_certificate(
    gateway: Any, server_authority: trustme.CA, caller_authority: trustme.CA
) -> None:
    """The verified name gives the tenant, whatever the caller says; a name of another form gives none."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    await stub.AnalyzeSentiment(REQUEST, metadata=(("maas-tenant", "evil"),))
    assert gateway.nlp.metadata[-1]["maas-tenant"] == "acme"
    assert "x-forwarded-client-cert" not in gateway.nlp.metadata[-1]
    for names in (
        ["spiffe://maas.example/other/acme"],
        ["acme"],
        ["spiffe://maas.example/tenant/acme", "spiffe://maas.example/tenant/other"],
    ):
        credentials = _credentials(server_authority, _caller(caller_authority, *names))
        async with grpc.aio.secure_channel(f"127.0.0.1:{gateway.port}", credentials) as channel:
            call = nlp_pb2_grpc.NlpServiceStub(channel).AnalyzeSentiment(REQUEST, metadata=(("maas-tenant", "evil"),))
            code, info, _, _ = await failure(call)
            assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NO_TENANT"), names


async def test_administrators_are_known_by_name(
    gateway: Any, server_authority: trustme.CA, caller_authority: trustme.CA
) -> None:
    """Those whom the expression names may change the mesh; others, also of a longer name, may not."""
    for name, code in (
        (ADMINISTRATOR, grpc.StatusCode.INTERNAL),
        (f"{ADMINISTRATOR}/not", grpc.StatusCode.PERMISSION_DENIED),
        ("spiffe://maas.example/tenant/acme", grpc.StatusCode.PERMISSION_DENIED),
    ):
        credentials = _credentials(server_authority, _caller(caller_authority, name))
        async with grpc.aio.secure_channel(f"127.0.0.1:{gateway.port}", credentials) as channel:
            for method in ADMINISTRATION[ROUTER]:
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await channel.unary_unary(f"/{ROUTER}/{method}")(b"")
                assert failed.value.code() is code, (name, method)


async def test_who_has_no_certificate_gets_no_connection(gateway: Any, server_authority: trustme.CA) -> None:
    """Neither none nor that of another authority opens the gateway."""
    before = len(gateway.nlp.metadata)
    for caller in (None, _caller(trustme.CA(), "spiffe://maas.example/tenant/acme")):
        credentials = _credentials(server_authority, caller)
        async with grpc.aio.secure_channel(f"127.0.0.1:{gateway.port}", credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await nlp_pb2_grpc.NlpServiceStub(channel).AnalyzeSentiment(REQUEST, timeout=10)
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(gateway.nlp.metadata) == before


async def test_a_renewed_certificate_holds_without_a_restart(
    gateway: Any, server_authority: trustme.CA, tmp_path: Path
) -> None:
    """When the link to the certificate is turned, new connections get the new one, and open ones stay."""
    renewed = server_authority.issue_cert("127.0.0.1", "renewed.example")
    _install(renewed, tmp_path / "tls", "second")
    wanted = ssl.PEM_cert_to_DER_cert(renewed.cert_chain_pems[0].bytes().decode())
    async with asyncio.timeout(10):
        while await asyncio.to_thread(_shown, gateway.port) != wanted:
            await asyncio.sleep(0.05)
    await nlp_pb2_grpc.NlpServiceStub(gateway.channel).AnalyzeSentiment(REQUEST)


def _shown(port: int) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))


def test_what_makes_no_sense_is_refused() -> None:
    """Certificates without one tenant in their names are told apart from a working configuration at once."""
    with pytest.raises(ValueError, match="one group"):
        Certificates(tenant="spiffe://all")
    with pytest.raises(ValueError, match="give one"):
        Identity()
