"""What the mesh can do now: asks every service for its models, all at once and for a short time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from maas.router.v1 import router_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc, synthesis_pb2
from services.mesh import client, errors
from services.mesh.deadline import Deadline
from services.mesh.durations import to_duration
from services.mesh.status import to_status
from services.router import methods
from services.router.caller import stub
from services.router.pipelines.engine import predicted_seconds
from services.router.pipelines.plan import Durations
from services.router.registry import Registry, Runnable
from services.router.upstreams import Upstream
from services.router.values import KINDS, kind_of_type

_SPEECH = "maas.speech.v1.SpeechService"


class Capabilities:
    """Services and graphs of the mesh."""

    def __init__(self, upstreams: Mapping[str, Upstream], registry: Registry, durations: Durations) -> None:
        """upstreams: by the service's full name."""
        self._upstreams = upstreams
        self._registry = registry
        self._durations = durations

    async def all(self, deadline: Deadline) -> pb.ListCapabilitiesResponse:
        """Everything by name; a service that does not answer by the deadline says so."""
        services = [methods.SERVICES[name] for name in self._upstreams]
        asked = await asyncio.gather(*(self._ask(service, deadline) for service in services))
        own = _service(methods.ROUTER_SERVICE)
        own.ready = True
        return pb.ListCapabilitiesResponse(
            services=sorted([*asked, own], key=lambda service: service.name),
            graphs=[
                self._graph(runnable, {each.name for each in asked if each.ready}) for runnable in self._registry.all()
            ],
        )

    async def models(self, service: str, deadline: Deadline) -> set[str]:
        """Names of the models of a service. Raises MeshError when it does not answer."""
        method = methods.discovery(methods.SERVICES[service])
        request = GetMessageClass(method.request)()
        answer = await client.call(
            stub(method, self._upstreams[service]), request, method=method.name, deadline=deadline
        )
        return {model.name for model in getattr(answer, "models", ())}

    async def _ask(self, service: ServiceDescriptor, deadline: Deadline) -> pb.ServiceCapability:
        capability = _service(service)
        upstream = self._upstreams[service.full_name]
        method = methods.discovery(service)
        request = GetMessageClass(method.request)()
        try:
            answer = await client.call(stub(method, upstream), request, method=method.name, deadline=deadline)
            # Preprocessing has none.
            capability.models.extend(getattr(answer, "models", ()))
            if service.full_name == _SPEECH:
                capability.voices.extend(await _voices(upstream, deadline))
            capability.ready = upstream.serving()
        except errors.MeshError as error:
            capability.status.CopyFrom(to_status(error))
        languages = {code for model in capability.models for code in model.language_codes}
        capability.language_codes.extend(sorted(languages))
        return capability

    def _graph(self, runnable: Runnable, ready: set[str]) -> pb.GraphCapability:
        """What one graph takes and gives. ready: the services that are."""
        compiled = runnable.compiled
        declared = compiled.graph
        predicted = predicted_seconds(runnable.plan, self._durations)
        return pb.GraphCapability(
            name=declared.name,
            summary=declared.summary,
            version=compiled.version,
            ready={method.service for method in compiled.methods.values()} <= ready,
            predicted_duration=None if predicted is None else to_duration(predicted),
            inputs=[
                pb.GraphParameter(
                    name=name,
                    kind=KINDS[each.kind],
                    summary=each.summary,
                    stream=each.stream,
                    optional=each.default is not None,
                )
                for name, each in declared.inputs.items()
            ],
            outputs=[
                pb.GraphParameter(
                    name=name,
                    kind=kind_of_type(compiled.output_types[name]),
                    summary=each.summary,
                    stream=each.each is not None,
                )
                for name, each in declared.outputs.items()
            ],
        )


async def _voices(speech: Upstream, deadline: Deadline) -> list[synthesis_pb2.Voice]:
    stub = speech_pb2_grpc.SpeechServiceStub(speech.channel)
    request = synthesis_pb2.ListVoicesRequest()
    answer = await client.call(stub.ListVoices, request, method=f"{_SPEECH}/ListVoices", deadline=deadline)
    return list(answer.voices)


def _service(service: ServiceDescriptor) -> pb.ServiceCapability:
    return pb.ServiceCapability(name=service.full_name, methods=[method.name for method in service.methods])
