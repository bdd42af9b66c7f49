"""Which replicas of Triton there are."""

from __future__ import annotations

import asyncio
import socket


async def replicas(address: str) -> list[str]:
    """host:port of each server that a channel to this address would reach, sorted.

    Raises OSError when a name is unknown.
    """
    if address.startswith("ipv4:"):
        return sorted(set(address.removeprefix("ipv4:").split(",")))
    if not address.startswith("dns:"):
        return [address]
    host, _, port = address.rpartition("/")[2].rpartition(":")
    known = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    found = sorted({str(where[0]) for *_, where in known})
    return [f"[{each}]:{port}" if ":" in each else f"{each}:{port}" for each in found]
