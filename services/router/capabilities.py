"""What the mesh can do now: asks every service for its models, all at once and for a short time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from maas.router.v1 import router_pb2 as pb
from services.mesh import client, errors
from services.mesh.deadline import Deadline
from services.mesh.status import to_status
from services.router import methods
from services.router.caller import stub
from services.router.compiler import CompiledGraph
from services.router.upstreams import Upstream
from services.router.values import KINDS, kind_of_type


async def services(upstreams: Mapping[str, Upstream], deadline: Deadline) -> list[pb.ServiceCapability]:
    """The services of the mesh by name, the router too; one that does not answer by the deadline says so."""
    asked = await asyncio.gather(*(_ask(methods.SERVICES[name], each, deadline) for name, each in upstreams.items()))
    return sorted([*asked, _service(methods.ROUTER_SERVICE)], key=lambda service: service.name)


def _service(service: ServiceDescriptor) -> pb.ServiceCapability:
    return pb.ServiceCapability(name=service.full_name, methods=[method.name for method in service.methods])


async def _ask(service: ServiceDescriptor, upstream: Upstream, deadline: Deadline) -> pb.ServiceCapability:
    capability = _service(service)
    method = methods.discovery(service)
    request = GetMessageClass(method.request)()
    try:
        answer = await client.call(stub(method, upstream), request, method=method.name, deadline=deadline)
    except errors.MeshError as error:
        capability.status.CopyFrom(to_status(error))
    else:
        # Preprocessing has none.
        capability.models.extend(getattr(answer, "models", ()))
    return capability


def graph(compiled: CompiledGraph) -> pb.GraphCapability:
    """What one graph takes and gives."""
    declared = compiled.graph
    return pb.GraphCapability(
        name=declared.name,
        summary=declared.summary,
        inputs=[
            pb.GraphParameter(name=name, kind=KINDS[each.kind], summary=each.summary)
            for name, each in declared.inputs.items()
        ],
        outputs=[
            pb.GraphParameter(name=name, kind=kind_of_type(compiled.outputs[name].type), summary=each.summary)
            for name, each in declared.outputs.items()
        ],
    )
