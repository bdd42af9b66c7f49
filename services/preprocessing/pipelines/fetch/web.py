"""Reads what lies at http and https addresses."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from services.mesh import errors
from services.preprocessing.pipelines.fetch.body import Body, absent, refuses, silent
from services.preprocessing.pipelines.fetch.places import WEB_SCHEMES, Place, is_public

MAX_REDIRECTS = 3

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ABSENT = frozenset({404, 410})
# Later it may work.
_BUSY = frozenset({408, 425, 429})
_SERVER_ERRORS = 500


class WebSource:
    """A client that goes only where it may. It takes no proxy from the environment, and keeps no cookies."""

    def __init__(self, session: aiohttp.ClientSession, allowed: Callable[[Place], bool]) -> None:
        """session: see `open_web`. allowed: whether a place may be read."""
        self._session = session
        self._allowed = allowed

    async def read(self, uri: str, place: Place, body: Body) -> None:
        """Fill the body with what lies there. Redirects are followed, each to an allowed place only.

        Raises InvalidArgument naming the body's field, NotFound or Unavailable.
        """
        # Sent as written: a signature covers every character of it.
        url = URL(uri, encoded=True).with_fragment(None)
        for _ in range(MAX_REDIRECTS + 1):
            location = await self._read_one(url, place, body)
            if location is None:
                return
            url, place = self._redirected(url, location, body.field)
        raise errors.InvalidArgument.field(body.field, f"is redirected more than {MAX_REDIRECTS} times")

    async def _read_one(self, url: URL, place: Place, body: Body) -> str | None:
        """Where to look instead, or None when the body was read."""
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    return response.headers.get("Location", "")
                _check_head(response, place, body)
                async for piece in response.content.iter_any():
                    body.add(piece)
        except errors.MeshError:
            raise
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == errno.EACCES:
                raise errors.InvalidArgument.field(
                    body.field, f"leads to a private network, which the operator does not allow ({place.name})"
                ) from None
            raise silent(place) from None
        except Exception:  # noqa: BLE001 - what strangers answer makes a client raise many things
            raise silent(place) from None
        return None

    def _redirected(self, url: URL, location: str, field: str) -> tuple[URL, Place]:
        try:
            following = url.join(URL(location, encoded=True)).with_fragment(None)
            place = Place.parse(str(following))
        except ValueError:
            place = None
        if place is None or not location or place.scheme not in WEB_SCHEMES or not self._allowed(place):
            raise errors.InvalidArgument.field(field, "is redirected to a place that the operator does not allow")
        return following, place


@asynccontextmanager
async def open_web(
    allowed: Callable[[Place], bool], *, private_networks: bool, max_connections: int
) -> AsyncIterator[WebSource]:
    """A client for as long as the block runs. private_networks: whether it may go to addresses that are not public."""
    connector = aiohttp.TCPConnector(
        limit=max_connections,
        # The one way to every connection, whatever the name was resolved to, and for addresses without a name too.
        socket_factory=_any_socket if private_networks else _public_socket,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Bytes are counted as they come; nothing is to unpack them before.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "maas-mesh"},
        skip_auto_headers=("Accept",),
        timeout=aiohttp.ClientTimeout(total=None),  # our deadlines rule
        trust_env=False,
    ) as session:
        yield WebSource(session, allowed)


def _any_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


def _public_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    address = str(info[4][0])
    if not is_public(address):
        raise OSError(errno.EACCES, "not a public address")
    return _any_socket(info)


def _check_head(response: aiohttp.ClientResponse, place: Place, body: Body) -> None:
    """Raise what an answer means that is no sound one, as far as its head tells."""
    status = response.status
    if status in _ABSENT:
        raise absent(place)
    if status in _BUSY or status >= _SERVER_ERRORS:
        raise silent(place)
    if status != _OK:
        raise refuses(place, body.field, str(status))
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise errors.InvalidArgument.field(body.field, "is sent in a compressed encoding, unasked")
    body.expect(response.content_length or 0)
