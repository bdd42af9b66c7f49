"""Which addresses may be read: those below a prefix that the operator wrote down, compared part by part."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

WEB_SCHEMES = frozenset({"http", "https"})
OBJECT_SCHEMES = frozenset({"s3", "gs", "az"})
MAX_URI_BYTES = 2048

_PORTS = {"http": 80, "https": 443}
# Neither blanks, control characters nor a backslash, which some read as a slash; beyond ASCII, only percent-encoded.
_URI = re.compile(r"[!#-;=?-\[\]_a-z~]+")
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class Place:
    """An address, taken apart. host: in small letters; the bucket of an object store. path: as written, or "/"."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Raises ValueError, with what is wrong in words that do not repeat the address.

        What different programs read differently is refused: a user before the host, a path with "." or ".." for a step
        or with encoded slashes, however often they are encoded.
        """
        if not 1 <= len(uri) <= MAX_URI_BYTES:
            raise ValueError(f"takes an address of 1 to {MAX_URI_BYTES} bytes")
        if not _URI.fullmatch(uri):
            raise ValueError("takes an address of ASCII characters; others, and blanks, must be percent-encoded")
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            raise ValueError("is not an address") from None
        if parts.scheme not in WEB_SCHEMES | OBJECT_SCHEMES:
            raise ValueError("takes an https, http, s3, gs or az address")
        if port == 0:
            raise ValueError("takes an address with a port of 1 to 65535, or none")
        host = parts.netloc.lower()
        if port is not None:
            host = host.removesuffix(f":{port}")
        if not _HOST.fullmatch(host):
            raise ValueError("takes an address with a plain host: no user, and no characters that no name has")
        if parts.scheme in OBJECT_SCHEMES and (port is not None or "?" in uri or "#" in uri):
            raise ValueError("takes an address of an object with neither port, query nor fragment")
        _check_path(parts.path)
        return cls(parts.scheme, host, port or _PORTS.get(parts.scheme, 0), parts.path or "/")

    def below(self, prefix: Place) -> bool:
        """Whether it is the prefix or lies below it: the last step of the prefix counts as a whole."""
        if (self.scheme, self.host, self.port) != (prefix.scheme, prefix.host, prefix.port):
            return False
        return self.path == prefix.path or self.path.startswith(prefix.path.rstrip("/") + "/")

    @property
    def name(self) -> str:
        """What errors may say of it."""
        return f"{self.scheme}://{self.host}"


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public Internet: not private, shared, local, reserved or of many hosts.

    An IPv6 address that stands for an IPv4 address is as public as that one.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or [None])[-1]
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None:
            return ip in _GLOBAL_UNICAST and ip.is_global
        ip = inner
    return ip.is_global and not ip.is_multicast


def _check_path(path: str) -> None:
    """Raises ValueError for a path that some server may read as another one."""
    while True:
        # Some servers forget what follows a semicolon in a step before they go up.
        if not {".", ".."}.isdisjoint(step.partition(";")[0] for step in re.split(r"[/\\]", path)):
            raise ValueError('takes a path without "." and ".." as steps')
        decoded = unquote(path)
        if decoded == path:
            return
        if decoded.count("/") != path.count("/") or "\\" in decoded or not decoded.isprintable():
            raise ValueError("takes a path without encoded slashes and control characters")
        path = decoded
