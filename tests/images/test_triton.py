"""Triton's image for processors serves real models as a pod would run it, and takes new versions without a restart."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import onnxruntime
import pytest

from tests.images.container import Container, Rootfs, configuration, free_ports

# One by ONNX Runtime, one in Python, and what liveness asks; all of them would take minutes on a small machine.
MODELS = ("canary", "efficientnet-lite0", "lid-176")
NOBODY = 65532
STARTING_SECONDS = 120


@pytest.fixture(scope="module")
def image(built):
    """The image."""
    return built("triton-cpu")


@pytest.fixture(scope="module")
def repository(image, tmp_path_factory):
    """The repository of a volume that the image's own program fills, as the init container does."""
    chosen, volume = tmp_path_factory.mktemp("chosen"), tmp_path_factory.mktemp("volume")
    with Rootfs(image) as root:
        for name in MODELS:
            (chosen / name).symlink_to(root / "models" / name)
        subprocess.run([sys.executable, root / "opt/maas/bin/fill", chosen, volume], check=True)
    for path in volume.parents[:3]:
        path.chmod(0o755)
    return volume / "models"


class Server:
    """A running Triton."""

    def __init__(self, container, http):
        self.container, self.http = container, http

    def ask(self, path, content=None):
        """POST JSON, or GET without content."""
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/{path}", data, timeout=60) as answer:
            return json.loads(answer.read() or b"{}")

    def ready(self):
        """Whether it takes calls."""
        try:
            self.ask("health/ready")
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def triton(image, repository, tmp_path_factory):
    """The image at work, on the volume."""
    http, grpc, metrics = free_ports(3)
    ports = {"TRITON_HTTP_PORT": str(http), "TRITON_GRPC_PORT": str(grpc), "TRITON_METRICS_PORT": str(metrics)}
    log = tmp_path_factory.mktemp("triton") / "log"
    with Container(image, log, ports | {"TRITON_DRAIN_SECONDS": "5"}, {repository: "/models"}) as container:
        server = Server(container, http)
        give_up = time.monotonic() + STARTING_SECONDS
        while not server.ready():
            assert time.monotonic() < give_up, container.said()
            time.sleep(0.2)
        yield server


def picture():
    """UINT8[1, 224, 224, 3], the same each time."""
    return np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)


def classify(triton):
    """The scores of the picture, and the version that answered."""
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 224, 224, 3], "data": picture().ravel().tolist()}
    answer = triton.ask("models/efficientnet-lite0/infer", {"inputs": [tensor], "outputs": [{"name": "scores"}]})
    return np.array(answer["outputs"][0]["data"], np.float32), answer["model_version"]


def test_it_is_as_the_manifests_expect(image):
    """A numeric user that is not root, Python as process 1, and all models of the catalog in /models."""
    config = configuration(image)
    assert config["User"] == f"{NOBODY}:{NOBODY}"
    assert config["Entrypoint"] == ["/opt/maas/bin/python3", "-m", "deploy.local.triton"]
    with Rootfs(image) as root:
        assert (
            len(list((root / "models").glob("*/config.pbtxt"))) == len(list((root / "models").iterdir())) > len(MODELS)
        )
        assert not (root / "opt/maas/lib/python3.11/site-packages/torch").exists()


def test_a_real_model_computes(triton, repository):
    """A picture through Triton gives what ONNX Runtime gives for the same file."""
    session = onnxruntime.InferenceSession(str(repository / "efficientnet-lite0" / "1" / "model.onnx"))
    (expected,) = session.run(["scores"], {"images": picture()})
    scores, version = classify(triton)
    np.testing.assert_allclose(scores, expected[0], atol=1e-5)
    assert version == "1"


def test_the_probe_in_the_image(triton):
    """Liveness is an inference; against a port where nobody computes it fails and says so."""
    assert triton.container.run("/opt/maas/bin/alive", str(triton.http)).returncode == 0
    failed = triton.container.run("/opt/maas/bin/alive", "1", "1")
    assert failed.returncode == 1
    assert "does not compute" in failed.stderr


def test_a_new_version_needs_no_restart(triton, repository):
    """What is put into the volume is served after a call to load it, by the same process."""
    before = triton.container.first_process()
    model = repository / "efficientnet-lite0"
    shutil.copytree(model / "1", model / "2")
    triton.ask("repository/models/efficientnet-lite0/load", {})
    scores, version = classify(triton)
    assert version == "2"
    assert scores.size == 1000
    assert triton.ready()
    assert triton.container.first_process() == before


def test_a_broken_version_leaves_the_good_one(triton, repository):
    """A version that does not load is refused, and what was served goes on being served."""
    broken = repository / "efficientnet-lite0" / "3"
    broken.mkdir()
    (broken / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(urllib.error.HTTPError):
        triton.ask("repository/models/efficientnet-lite0/load", {})
    shutil.rmtree(broken)
    assert classify(triton)[1] == "2"


def test_it_stops_in_good_order(triton):
    """SIGTERM to process 1 ends Triton and its model processes within their time, with exit code 0."""
    code, seconds = triton.container.stop(30)
    assert code == 0, triton.container.said()
    assert seconds < 20
