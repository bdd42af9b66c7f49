"""Which port each process listens on: all derived from one, here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, fields

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The ports of one mesh, all on the loopback address.

    gateway is the one that users know (MAAS_PORT); BLOCK ports from it on belong to the mesh, the upper half of them to
    the second instances that serve while a process is replaced.
    """

    gateway: int
    gateway_admin: int
    router: int
    preprocessing: int
    nlp: int
    vision: int
    speech: int
    triton_grpc: int
    triton_http: int
    triton_metrics: int
    router_metrics: int
    preprocessing_metrics: int
    nlp_metrics: int
    vision_metrics: int
    speech_metrics: int
    tracing_http: int
    tracing_grpc: int
    prometheus: int
    models: int
    models_metrics: int

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """The ports of the mesh whose gateway listens on `base`."""
        offsets = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 18, 19, 11, 10, 17)
        return cls(*(base + offset for offset in offsets))

    def twins(self) -> Ports:
        """The ports of the second instances."""
        return Ports.from_base(self.gateway + BLOCK // 2)

    def items(self) -> list[tuple[str, int]]:
        """Name and number of each port."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


# How many ports a mesh may use, from its base port on.
BLOCK = 40


def address(port: int) -> str:
    """host:port of a local port."""
    return f"{HOST}:{port}"
