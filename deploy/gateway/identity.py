"""Who may call: how the gateway identifies its callers, whose tenant they are, and what they may do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

# What a tenant may be called; the services say the same.
TENANT = "[a-z0-9_-]{1,64}"
# What changes the mesh for all of its callers, service by service.
ADMINISTRATION = {
    "maas.router.v1.RouterService": (
        "CreateGraph",
        "UpdateGraph",
        "DeleteGraph",
        "SetTrafficPolicy",
        "DeleteTrafficPolicy",
    ),
    "maas.models.v1.ModelService": (
        "LoadModel",
        "UnloadModel",
        "StartRollout",
        "RollBackRollout",
        "PromoteRollout",
        "DeleteRollout",
    ),
}
# Kubelets, load balancers and gRPC's own client-side checks ask these without credentials.
_HEALTH = ("grpc.health.v1.Health",)
_REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
# Nested claims have dots in their names; Envoy's formatter has a meaning of its own for all else.
_CLAIM = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_URL = re.compile(r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+)(:(?P<port>[0-9]+))?(/[^\s]*)?")


@dataclass(frozen=True)
class Keys:
    """The keys with which an issuer signs: a JSON Web Key Set (RFC 7517).

    location: path of a file, which is read at the start only, or the issuer's URL, asked at the start and every
        cache_seconds.
    authorities: path of the certificates, PEM, against which those of an https URL are checked.
    """

    location: str
    authorities: str = "/etc/ssl/certs/ca-certificates.crt"
    timeout_seconds: int = 5
    cache_seconds: int = 600

    def __post_init__(self) -> None:
        if "://" in self.location and not _URL.fullmatch(self.location):
            raise ValueError(f"{self.location!r} is no address of keys: write https://HOST/PATH, or the path of a file")

    @property
    def remote(self) -> bool:
        """Whether an issuer is asked."""
        return "://" in self.location

    @property
    def secure(self) -> bool:
        """Whether it is asked over TLS."""
        return self.location.startswith("https:")

    @property
    def host(self) -> str:
        """Of the URL."""
        return self._url()["host"]

    @property
    def port(self) -> int:
        """Of the URL."""
        return int(self._url()["port"] or (443 if self.secure else 80))

    def _url(self) -> re.Match[str]:
        found = _URL.fullmatch(self.location)
        if found is None:
            raise ValueError(f"{self.location!r} is a file, not an address")
        return found


@dataclass(frozen=True)
class Token:
    """JSON Web Tokens (RFC 7519), which callers send as `authorization: Bearer TOKEN`.

    issuer: what their "iss" must be.  audiences: one of these must be in "aud".
    tenant_claim: the claim that is the caller's tenant, such as "tenant" or "organisation.name".
    scope_claim: the claim with the caller's scopes or roles, as words in one string or as a list: "scope",
        "realm_access.roles".  administrator: the one who has this may change graphs, traffic and models.
    """

    issuer: str
    audiences: tuple[str, ...]
    keys: Keys
    tenant_claim: str = "tenant"
    scope_claim: str = "scope"
    administrator: str = "maas.admin"

    def __post_init__(self) -> None:
        if not self.audiences:
            raise ValueError("tokens need an audience: without one, what was issued for another system opens this one")
        for claim in (self.tenant_claim, self.scope_claim):
            if not _CLAIM.fullmatch(claim):
                raise ValueError(f"claim {claim!r} must be of letters, digits, - and _, with dots for nested ones")


@dataclass(frozen=True)
class Certificates:
    """Client certificates as identities, by their subject alternative names.

    names: which kind of name is meant; a certificate has one of it.
    tenant: regular expression of the whole name, whose one group is the tenant.
    administrators: regular expression of the whole names of those who may change graphs, traffic and models; None is
        nobody.
    """

    tenant: str = rf"spiffe://[^/]+/tenant/({TENANT})(?:/.*)?"
    names: Literal["URI", "DNS"] = "URI"
    administrators: str | None = None

    def __post_init__(self) -> None:
        if re.compile(self.tenant).groups != 1:
            raise ValueError(f"the expression {self.tenant!r} needs one group in parentheses: the tenant")


@dataclass(frozen=True)
class Identity:
    """How callers are identified.

    What is given is demanded: with both, a caller needs a certificate and a token, and the token says who he is.

    open_reflection: whether anyone may ask which services and messages there are.
    rate_limit_per_second: calls of one tenant, at one replica of the gateway; more fail with RESOURCE_EXHAUSTED, or 429
        for JSON.
    max_tenants: whose calls are counted at once; then the one that was longest silent is forgotten.
    """

    token: Token | None = None
    certificates: Certificates | None = None
    open_reflection: bool = False
    rate_limit_per_second: int | None = None
    max_tenants: int = 1000

    def __post_init__(self) -> None:
        if self.token is None and self.certificates is None:
            raise ValueError("callers are identified by a token, a certificate or both: give one")

    @property
    def open_services(self) -> Sequence[str]:
        """Full names of those that anyone may ask."""
        return _HEALTH + (_REFLECTION if self.open_reflection else ())

    @property
    def administration(self) -> list[str]:
        """The paths of the RPCs that only administrators may call."""
        return [f"/{service}/{method}" for service, methods in ADMINISTRATION.items() for method in methods]


def read_identity(path: Path) -> Identity:
    """An operator's identity.yaml: the fields of Identity, with those of Token, Keys and Certificates inside."""
    said: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    try:
        if token := said.get("token"):
            keys = Keys(**token["keys"])
            said["token"] = Token(**{**token, "audiences": tuple(token["audiences"]), "keys": keys})
        if certificates := said.get("certificates"):
            said["certificates"] = Certificates(**certificates)
        return Identity(**said)
    except KeyError as missing:
        raise ValueError(f"{path}: the token's {missing} is missing") from None
    except (TypeError, ValueError) as wrong:
        raise ValueError(f"{path}: {wrong}") from wrong
