"""An issuer of JSON Web Tokens (RFC 7519), signed with ES256."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ISSUER = "https://issuer.example/"
AUDIENCE = "maas.example"


class Issuer:
    """Has one key."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def keys(self) -> str:
        """The JSON Web Key Set that verifies its tokens."""
        point = self._key.public_key().public_numbers()
        key = {"x": _text(point.x.to_bytes(32)), "y": _text(point.y.to_bytes(32))}
        return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", **key}]})

    def token(self, **claims: Any) -> str:
        """A token with these claims beside the usual ones, of which those that are None are left out."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "tenant": "acme"}
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        signed = f"{_json({'alg': 'ES256', 'typ': 'JWT'})}.{_json(said)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{_text(r.to_bytes(32) + s.to_bytes(32))}"

    def bearer(self, **claims: Any) -> tuple[tuple[str, str], ...]:
        """Metadata of a call with such a token."""
        return (("authorization", f"Bearer {self.token(**claims)}"),)


def _json(content: object) -> str:
    return _text(json.dumps(content).encode())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
