"""Keys of the gallery: what lies in the store is unreadable without them, and cannot be moved to another place in it.

From each of the operator's master keys HKDF-SHA-256 (RFC 5869) derives two keys a tenant: one for AES-256-GCM, with a
random 96-bit nonce a value (NIST SP 800-38D), and one for HMAC-SHA-256, by which a person or a request is found without
being decrypted. What a value belongs to is its associated data, so that values cannot be swapped between rows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from services.mesh import errors

KEY_BYTES = 32
_NONCE_BYTES = 12
# HMAC-SHA-256 cut to 128 bits, as RFC 2104 allows: 100,000 persons share one by chance in 1 of 10^28 galleries.
_TAG_BYTES = 16
_NUMBER_BYTES = 8

Column = Literal["vector", "person"]


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Master keys from text: base64 of 32 bytes each, separated by white space or commas; the first one encrypts.

    Raises ValueError, which never shows a key.
    """
    keys = []
    for position, word in enumerate(re.split(r"[\s,]+", text.strip()), 1):
        try:
            key = base64.b64decode(word.replace("-", "+").replace("_", "/"), validate=True)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {position} of the gallery must be base64 of {KEY_BYTES} random bytes")
        keys.append(key)
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class Place:
    """What a value belongs to: a face, the model of its vector, and the column."""

    face_id: str
    model: str
    column: Column


@dataclass(frozen=True, slots=True)
class _Pair:
    """What is derived from one master key for one tenant."""

    key_id: str
    cipher: AESGCM = field(repr=False)
    lookup: bytes = field(repr=False)


class Keys:
    """The operator's master keys, newest first."""

    def __init__(self, masters: Sequence[bytes]) -> None:
        """masters: one at least, each of 32 bytes. The first encrypts, all decrypt."""
        self._masters = tuple(masters)

    def of(self, tenant: str) -> TenantKeys:
        """The keys of one tenant. Takes some 50 us a master key."""
        return TenantKeys(
            tenant,
            [
                _Pair(
                    _derive(master, "key id")[:8].hex(),
                    AESGCM(_derive(master, "encryption", tenant)),
                    _derive(master, "lookup", tenant),
                )
                for master in self._masters
            ],
        )


class TenantKeys:
    """Encrypts, decrypts and finds the values of one tenant."""

    def __init__(self, tenant: str, pairs: Sequence[_Pair]) -> None:
        self._tenant = tenant
        self._pairs = {pair.key_id: pair for pair in pairs}
        self._newest = pairs[0]

    @property
    def key_id(self) -> str:
        """Which key encrypts."""
        return self._newest.key_id

    def encrypt(self, place: Place, value: bytes) -> bytes:
        """The value, for that place alone: nonce, ciphertext and tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._newest.cipher.encrypt(nonce, value, self._associated(place))

    def decrypt(self, key_id: str, place: Place, sealed: bytes) -> bytes:
        """What `encrypt` was given.

        Raises FailedPrecondition when the operator did not give the key, Internal when the store was tampered with.
        """
        pair = self._pairs.get(key_id)
        if pair is None:
            raise errors.FailedPrecondition(
                f"the gallery holds faces encrypted with the key {key_id}, which this service was not given",
                reason="GALLERY_KEY_UNKNOWN",
                metadata={"key_id": key_id},
            )
        try:
            return pair.cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._associated(place))
        except InvalidTag:
            raise errors.Internal("a face of the gallery is damaged in its store", reason="GALLERY_DAMAGED") from None

    def encrypt_vector(self, face_id: str, model: str, vector: NDArray[np.float32]) -> bytes:
        """A vector float32[D], little-endian."""
        return self.encrypt(Place(face_id, model, "vector"), np.ascontiguousarray(vector, "<f4").tobytes())

    def decrypt_vector(self, key_id: str, face_id: str, model: str, sealed: bytes) -> NDArray[np.float32]:
        """The vector float32[D]. Raises as `decrypt`."""
        return np.frombuffer(self.decrypt(key_id, Place(face_id, model, "vector"), sealed), "<f4")

    def find(self, kind: Literal["person", "request"], value: str) -> list[bytes]:
        """What a value is found by, under each key; the newest key's comes first and is the one to store."""
        return [_tag(pair.lookup, kind, value.encode()) for pair in self._pairs.values()]

    def page_token(self, person_id: str, number: int) -> str:
        """Names the face after which the next page begins, of all faces or of one person's."""
        content = number.to_bytes(_NUMBER_BYTES, "big")
        return base64.urlsafe_b64encode(
            content + _tag(self._newest.lookup, "page", content + person_id.encode())
        ).decode()

    def page_after(self, person_id: str, token: str) -> int:
        """The number in a token of `page_token` for the same person. Raises InvalidArgument for any other."""
        if not token:
            return 0
        try:
            content = base64.b64decode(token, b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        number, tag = content[:_NUMBER_BYTES], content[_NUMBER_BYTES:]
        for pair in self._pairs.values():
            if hmac.compare_digest(tag, _tag(pair.lookup, "page", number + person_id.encode())):
                return int.from_bytes(number, "big")
        raise errors.InvalidArgument.field("page_token", "is none that ListFaces gave for this tenant and person_id")

    def _associated(self, place: Place) -> bytes:
        return _joined("maas gallery 1", self._tenant, place.face_id, place.model, place.column)


def _derive(master: bytes, *purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=_joined("maas gallery 1", *purpose)).derive(master)


def _tag(key: bytes, kind: str, value: bytes) -> bytes:
    return hmac.digest(key, _joined(kind) + value, hashlib.sha256)[:_TAG_BYTES]


def _joined(*parts: str) -> bytes:
    """Parts with their lengths, so that no two lists of parts have the same bytes."""
    return b"".join(len(part.encode()).to_bytes(2, "big") + part.encode() for part in parts)
