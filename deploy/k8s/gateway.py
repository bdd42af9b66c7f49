"""The gateway on Kubernetes: its configuration in every variant that the components make of it.

A variant is a folder in the gateway's pod with one envoy.yaml. Its name is put together from what components put into
the environment ("gateway", "-identity", "-tls", "-mtls"), so that they go together in any order; when a combination has
no folder, such as client certificates without TLS, Envoy does not start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.gateway.identity import read_identity
from deploy.gateway.render import Address, Gateway, Tls, Upstream, render, secrets
from deploy.local.processes import SERVICES, STREAMS

ROOT = Path(__file__).parent
BASE = ROOT / "base" / "gateway"
COMPONENTS = ROOT / "components"

PUBLIC_PORT = 8080
TLS_PORT = 8443
STATUS_PORT = 9901
ADMIN_PORT = 9902
SERVICE_PORT = 8000
COLLECTOR = Address("collector", 4317)
_GENERATED = "# Written by `make manifests`.\n"
# Where the pod has its files.
CONTRACT = "/etc/envoy/contract/maas.binpb"
_CERTIFICATE = "/etc/envoy/certificate"
_CLIENT_AUTHORITY = "/etc/envoy/client-authority"
_SECRETS = "/etc/envoy/secrets"

TLS = Tls(f"{_CERTIFICATE}/tls.crt", f"{_CERTIFICATE}/tls.key", directory=_SECRETS)
MUTUAL_TLS = replace(TLS, client_ca=f"{_CLIENT_AUTHORITY}/ca.crt")


@dataclass(frozen=True)
class Variant:
    """One configuration.

    name: of its folder in the pod and of its ConfigMap.  folder: where its envoy.yaml is committed.
    """

    name: str
    folder: Path
    gateway: Gateway


def variants() -> Iterator[Variant]:
    """All of them."""
    plain = Gateway(
        listen=Address("0.0.0.0", PUBLIC_PORT),  # noqa: S104 - in a pod
        admin=Address("127.0.0.1", ADMIN_PORT),
        status=Address("0.0.0.0", STATUS_PORT),  # noqa: S104 - in a pod
        # Without their namespace and domain: these are the cluster's to choose.
        upstreams=tuple(
            Upstream(name, service, Address(name, SERVICE_PORT), limit, STREAMS.get(name, ()))
            for name, (service, limit) in SERVICES.items()
        ),
        descriptors=CONTRACT,
        discovery="STRICT_DNS",
        # Always: while there is no collector of that name, spans are dropped.
        tracing=COLLECTOR,
        **_operators_choice(),
    )
    identity = COMPONENTS / "identity"
    for suffix, folder, tls in (
        ("", BASE, None),
        ("-tls", COMPONENTS / "tls", TLS),
        ("-tls-mtls", COMPONENTS / "mtls", MUTUAL_TLS),
    ):
        port = TLS_PORT if tls else PUBLIC_PORT
        gateway = replace(plain, listen=replace(plain.listen, port=port), tls=tls)
        yield Variant(f"gateway{suffix}", folder, gateway)
        name = f"gateway-identity{suffix}"
        yield Variant(name, identity / name, replace(gateway, identity=read_identity(identity / "identity.yaml")))


def files(descriptors: Path) -> Mapping[Path, bytes]:
    """Every file of the manifests that is rendered: its content by its path.

    descriptors: the descriptor set that `make protos` writes.
    """
    contract = BASE / "maas.binpb"
    found = {contract: without_source(descriptors.read_bytes())}
    for variant in variants():
        found[variant.folder / "envoy.yaml"] = (_GENERATED + render(variant.gateway, descriptors)).encode()
    for name, text in secrets(MUTUAL_TLS).items():
        found[COMPONENTS / "tls" / name] = text.encode()
    return found


def without_source(descriptors: bytes) -> bytes:
    """A descriptor set without the comments of its sources, three quarters of it, which nobody reads there."""
    found = FileDescriptorSet.FromString(descriptors)
    for file in found.file:
        file.ClearField("source_code_info")
    return found.SerializeToString(deterministic=True)


def _operators_choice() -> dict[str, Any]:
    """Fields of Gateway that an operator writes in gateway.yaml."""
    return dict(yaml.safe_load((BASE / "gateway.yaml").read_text()) or {})
