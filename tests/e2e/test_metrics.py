"""Every process tells Prometheus what it does."""

from __future__ import annotations

import grpc
import pytest

from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc
from maas.speech.v1 import speech_pb2, speech_pb2_grpc
from maas.vision.v1 import vision_pb2, vision_pb2_grpc
from tests.e2e.metrics import samples

# Service -> an RPC of it that needs no input.
CALLS = {
    "nlp": (nlp_pb2_grpc.NlpServiceStub, "GetNlpConfig", nlp_pb2.GetNlpConfigRequest()),
    "vision": (vision_pb2_grpc.VisionServiceStub, "GetVisionConfig", vision_pb2.GetVisionConfigRequest()),
    "speech": (speech_pb2_grpc.SpeechServiceStub, "GetSpeechConfig", speech_pb2.GetSpeechConfigRequest()),
    "router": (router_pb2_grpc.RouterServiceStub, "ListCapabilities", router_pb2.ListCapabilitiesRequest()),
    "preprocessing": (
        preprocessing_pb2_grpc.PreprocessingServiceStub,
        "GetPreprocessingConfig",
        preprocessing_pb2.GetPreprocessingConfigRequest(),
    ),
}


@pytest.mark.parametrize("service", CALLS)
def test_a_call_is_counted_and_timed(mesh, wait_for, service):
    """A call through the gateway raises the count of its method with status OK; nothing stays counted as active."""
    stub, method, request = CALLS[service]
    url = f"http://127.0.0.1:{getattr(mesh.ports, f'{service}_metrics')}/metrics"

    def counted() -> float:
        found = samples(url, "rpc_server_call_duration_seconds_count")
        return sum(
            value for labels, value in found.items() if "OK" in labels and any(method in each for each in labels)
        )

    before = counted()
    with grpc.insecure_channel(mesh.address) as channel:
        getattr(stub(channel), method)(request, timeout=30)
    wait_for(lambda: counted() >= before + 1, "the call is counted", 5)
    wait_for(lambda: set(samples(url, "maas_server_active_calls").values()) == {0}, "no call is active", 5)


def test_triton_and_the_gateway_tell_theirs(mesh):
    """Triton tells of its models, the gateway of the services behind it."""
    triton = samples(f"http://127.0.0.1:{mesh.ports.triton_metrics}/metrics", "nv_inference_request_success_total")
    assert any("efficientnet-lite0" in labels for labels in triton)
    url = f"http://127.0.0.1:{mesh.ports.gateway_admin}/stats/prometheus"
    healthy = samples(url, "envoy_cluster_membership_healthy")
    assert {labels[0] for labels in healthy} >= set(CALLS)
