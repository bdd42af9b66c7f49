"""Each service's image holds what the service needs and nothing else, and runs as a pod would run it."""

from __future__ import annotations

import contextlib
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.docker import images
from services.mesh.server import LIVENESS
from tests.images.conftest import ROOT
from tests.images.container import Container, Rootfs, configuration, free_ports

# Of the whole file system with Debian's base of some 200 MB, in megabytes; the largest is vision's.
LARGEST = 600
FORBIDDEN = ("torch", "onnxruntime", "cv2", "pip", "setuptools", "ctranslate2", "typer")
TOOLS = ("gcc", "cc", "make", "ld", "pip", "pip3", "git", "curl", "wget")


SERVING = health_pb2.HealthCheckResponse.SERVING


def until_late(changes):
    """What a stream brings until its deadline."""
    with contextlib.suppress(grpc.RpcError):
        yield from changes


@pytest.fixture(params=images.services(ROOT))
def service(request):
    """The name of a service."""
    return request.param


def test_what_an_image_says_of_itself(built, service):
    """A numeric user that is not root, an entry point without a shell around it, and labels."""
    config = configuration(built(service))
    user, group = config["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert config["Entrypoint"] == ["/opt/maas/bin/serve"]
    assert config["Labels"]["org.opencontainers.image.title"] == f"maas-mesh/{service}"
    assert config["Labels"]["org.opencontainers.image.revision"] == "0123"


def test_what_an_image_holds(built, service):
    """No model library, no weights, no installer, no compiler, no other service's code; and it is small."""
    with Rootfs(built(service)) as root:
        packages = {path.name for path in root.glob("opt/maas/lib/python3.*/site-packages/*")}
        packages |= {path.name for path in root.glob("usr/**/python3*/*-packages/*")}
        assert not packages & set(FORBIDDEN)
        assert not [
            tool for tool in TOOLS for folder in ("usr/bin", "usr/local/bin") if (root / folder / tool).exists()
        ]
        assert not list((root / "opt").rglob("*.onnx"))
        code = {path.name for path in (root / "opt/maas/app/services").iterdir() if path.is_dir()} - {"__pycache__"}
        assert code == {"client", "mesh", "preprocessing", service}
        assert (root / "opt/maas/assets/tokenizers").is_dir() == (service == "preprocessing")
        size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        assert size < LARGEST * 1_000_000


def test_it_runs_without_rights(built, service, tmp_path):
    """With a root that cannot be written to it serves health and metrics, and SIGTERM ends it in good order."""
    (port, metrics), prefix = free_ports(2), service.upper()
    environment = {
        f"{prefix}_LISTEN_ADDRESS": f"127.0.0.1:{port}",
        f"{prefix}_METRICS_ADDRESS": f"127.0.0.1:{metrics}",
        f"{prefix}_DRAIN_SECONDS": "2",
    }
    environment |= {f"{prefix}_{name}_ADDRESS": "127.0.0.1:9" for name in ("TRITON", "PREPROCESSING", "NLP", "VISION")}
    environment |= {
        f"{prefix}_SPEECH_ADDRESS": "127.0.0.1:9",
        "MODELS_STATE": "files",
        "MODELS_STATE_DIRECTORY": "/tmp/state",  # noqa: S108 - of the container
    }
    with Container(built(service), tmp_path / "log", environment) as container:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            alive = health.Check(health_pb2.HealthCheckRequest(service=LIVENESS), wait_for_ready=True, timeout=60)
            watched = health.Watch(health_pb2.HealthCheckRequest(), timeout=5)
            # It says NOT_SERVING first in any case.
            ready = any(change.status == SERVING for change in until_late(watched))
        # Of the others nobody can work when nothing of what they call is there.
        assert alive.status == SERVING
        assert ready == (service in {"models", "preprocessing"})
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as page:
            assert b"process_" in page.read()
        assert "Read-only file system" in container.run("touch", "/opt/maas/new").stderr
        code, seconds = container.stop(20)
        assert code == 0, container.said()
        assert seconds < 15
        assert "stopped" in container.said()
