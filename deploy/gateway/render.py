"""Renders the Envoy configuration: one template for one machine and for Kubernetes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import jinja2

from deploy.gateway.identity import TENANT, Identity
from deploy.gateway.paths import json_paths, methods_pattern
from deploy.gateway.replies import local_replies

_MEBIBYTE = 1024 * 1024
# A page that is served from this machine may call the gateway from a browser.
LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1)(:[0-9]+)?"

# What the router answers for all services.
_WHOLE_MESH = (
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/List",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)


@dataclass(frozen=True)
class Address:
    """Where something listens."""

    host: str
    port: int


@dataclass(frozen=True)
class Upstream:
    """A service behind the gateway.

    name: the one word, "nlp"; cluster and route are called so.
    service: full name of the gRPC service.
    limit_seconds: longest time a call may take; also the deadline of a call whose caller set none.
    streams: its methods with a stream of requests, "ExtractFrames". They have limits of their own, and their messages
        pass as they come.
    others: further addresses, where one name does not stand for all replicas.
    """

    name: str
    service: str
    address: Address
    limit_seconds: int
    streams: tuple[str, ...] = ()
    others: tuple[Address, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All of them."""
        return (self.address, *self.others)


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files, which are read again when they are renewed.

    certificate, key: the gateway's certificate chain and private key.
    client_ca: with it, callers need a certificate of their own that these authorities signed.
    directory: where the files lie that `secrets` gives.
    """

    certificate: str
    key: str
    client_ca: str | None = None
    directory: str = "/etc/envoy"

    def secret(self, name: str) -> str:
        """Path of the file that tells where a secret lies."""
        return str(PurePosixPath(self.directory) / f"tls-{name}.yaml")


@dataclass(frozen=True)
class Gateway:
    """Everything in which one gateway differs from another.

    upstreams: the services; the one called "router" also answers health and reflection for the whole mesh.
    descriptors: path of the descriptor set that `make protos` writes.
    discovery: STATIC takes addresses as they are, STRICT_DNS resolves names again and again, to every replica.
    identity: how callers are identified; None asks nobody who he is, and believes what he says of his tenant.
    status: where others may ask whether it is ready (/ready) and for its statistics (/stats/prometheus), and nothing
        else; None where they can reach `admin`.
    tracing: of an OTLP/gRPC receiver; None records no spans, but the caller's trace context still passes through.
    traced_percent: of the calls without a trace context so many are recorded, here and in the services behind.
    origins: regular expression of the web origins that may call with gRPC-Web.
    stream_limit_seconds: longest time that a stream may take; also its deadline when its caller set none.
    stream_idle_seconds: a stream on which nothing comes or goes for so long is ended; longer than the services wait,
        which tell their callers why.
    stream_window_bytes: what may be under way on one stream that nobody has taken, each way.
    max_request_bytes: larger ones fail with RESOURCE_EXHAUSTED, or 413 for JSON; of a stream the service bounds each
        message.
    rate_limit_per_second: calls beyond it fail with RESOURCE_EXHAUSTED, or 429 for JSON; None is no limit.
    max_ejection_percent: of a service's replicas that may be ejected for their errors at once. With 50, one replica
        alone is never ejected, since nobody could take over; the active health check marks it instead.
    """

    listen: Address
    admin: Address
    upstreams: tuple[Upstream, ...]
    descriptors: str
    discovery: Literal["STATIC", "STRICT_DNS"] = "STATIC"
    status: Address | None = None
    tracing: Address | None = None
    traced_percent: float = 100.0
    tls: Tls | None = None
    identity: Identity | None = None
    origins: str = LOCAL_ORIGINS
    stream_limit_seconds: int = 3600
    stream_idle_seconds: int = 660
    stream_window_bytes: int = _MEBIBYTE
    max_request_bytes: int = 32 * _MEBIBYTE
    max_json_response_bytes: int = 64 * _MEBIBYTE
    max_connections: int = 10_000
    rate_limit_per_second: int | None = None
    max_ejection_percent: int = 50

    def __post_init__(self) -> None:
        demanded = self.identity is not None and self.identity.certificates is not None
        if demanded and (self.tls is None or self.tls.client_ca is None):
            raise ValueError("callers can only be known by their certificates with Tls.client_ca")


def render(gateway: Gateway, descriptors: Path | None = None) -> str:
    """The configuration as YAML text.

    descriptors: where the descriptor set lies here, if not where the gateway will find it.
    """
    names = {upstream.service: upstream.name for upstream in gateway.upstreams}
    described = descriptors or Path(gateway.descriptors)
    token = gateway.identity.token if gateway.identity else None
    text = (
        _environment()
        .get_template("envoy.yaml.j2")
        .render(
            gateway=gateway,
            names=names,
            paths=json_paths(described, names),
            methods=methods_pattern(described, names, _WHOLE_MESH),
            replies=local_replies(
                [(name, service) for service, name in names.items()],
                gateway.max_request_bytes,
                identified=gateway.identity is not None,
            ),
            keys=token.keys if token else None,
            tenant=TENANT,
        )
    )
    return text + "\n"


def secrets(tls: Tls) -> dict[str, str]:
    """The files that belong into Tls.directory: text by name. They tell where the certificates lie, and hold none."""
    kinds = ("certificate", "client-ca") if tls.client_ca else ("certificate",)
    template = _environment().get_template("secret.yaml.j2")
    return {PurePosixPath(tls.secret(kind)).name: template.render(kind=kind, tls=tls) + "\n" for kind in kinds}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - YAML, not HTML; strings go through tojson
    )
    environment.filters["folder"] = lambda path: str(PurePosixPath(path).parent)
    environment.filters["escape_pattern"] = re.escape
    return environment
