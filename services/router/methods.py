"""The mesh's methods as their descriptors tell. Importing this module makes every contract of the mesh known."""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor

from maas.models.v1 import models_pb2
from maas.nlp.v1 import nlp_pb2
from maas.preprocessing.v1 import preprocessing_pb2
from maas.router.v1 import router_pb2
from maas.speech.v1 import speech_pb2
from maas.vision.v1 import vision_pb2

_DISCOVERY = re.compile(r"Get\w+Config")

ROUTER = "maas.router.v1.RouterService"
# Not for nodes: it changes what the mesh does for all of its callers.
MODELS: str = models_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
# The services that nodes may call.
SERVICES: dict[str, ServiceDescriptor] = {
    service.full_name: service
    for module in (preprocessing_pb2, nlp_pb2, vision_pb2, speech_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}
# What AnalyzeEntities finds.
ENTITY_TYPES: tuple[str, ...] = tuple(nlp_pb2.EntityType.keys())[1:]
ROUTER_SERVICE: ServiceDescriptor = router_pb2.DESCRIPTOR.services_by_name["RouterService"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method. name: "package.Service/Method". client_streaming, server_streaming: what of it is a stream."""

    name: str
    service: str
    request: Descriptor
    response: Descriptor
    client_streaming: bool = False
    server_streaming: bool = False

    @property
    def unary(self) -> bool:
        """Whether it takes one request and gives one answer."""
        return not (self.client_streaming or self.server_streaming)


def find(name: str) -> Method:
    """The method of that name, "package.Service/Method". Raises LookupError, listing what there is."""
    service_name, _, method_name = name.partition("/")
    service = SERVICES.get(service_name)
    if service is None:
        raise LookupError(f"no service is called {service_name!r}; there are: {', '.join(sorted(SERVICES))}")
    method = service.methods_by_name.get(method_name)
    if method is None:
        known = ", ".join(service.methods_by_name)
        raise LookupError(f"{service_name} has no method {method_name!r}; it has: {known}")
    return _method(method)


def discovery(service: ServiceDescriptor) -> Method:
    """The method by which a service tells its models: Get...Config."""
    return _method(next(each for each in service.methods if _DISCOVERY.fullmatch(each.name)))


def _method(method: MethodDescriptor) -> Method:
    service = method.containing_service.full_name
    return Method(
        f"{service}/{method.name}",
        service,
        method.input_type,
        method.output_type,
        method.client_streaming,
        method.server_streaming,
    )
