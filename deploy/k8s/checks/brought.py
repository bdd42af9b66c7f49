"""What the operator brings, since it cannot stand in a repository: secrets, and objects of the cluster itself.

deploy/README.md names each; a test compares. An overlay that needs one says so there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Thing:
    """An object that the manifests name and do not make.

    why: for people.
    samples: its keys, each with a value of the right form, by which settings can be checked. None of them is in use.
    """

    why: str
    samples: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Of a ConfigMap or Secret."""
        return tuple(self.samples)


BROUGHT: Mapping[tuple[str, str], Thing] = {
    ("Secret", "gateway-tls"): Thing(
        "the gateway's certificate and its key, as `kubectl create secret tls` makes them",
        {"tls.crt": "certificates", "tls.key": "key"},
    ),
    ("Secret", "gateway-client-ca"): Thing("who signs the certificates of callers", {"ca.crt": "certificates"}),
    ("GatewayClass", "maas"): Thing("stands for the class of the cluster's own gateways"),
    ("Secret", "router-store"): Thing(
        "the database in which graphs and traffic policies are kept",
        {"url": "postgresql://maas:word@database.example/maas"},
    ),
    ("Secret", "vision-gallery"): Thing(
        "the database of the gallery of faces, and the key that it is encrypted with",
        {
            "url": "postgresql://maas:word@database.example/faces",
            "key": "c2FtcGxlIHNhbXBsZSBzYW1wbGUgc2FtcGxlIHNhbXA=",
        },
    ),
}
