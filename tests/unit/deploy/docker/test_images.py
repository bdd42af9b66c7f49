"""Every engine is asked for the same images, by the names that the manifests have."""

from __future__ import annotations

import pytest

from deploy.docker import images
from deploy.docker.images import CannotBuild, Wanted

WANTED = Wanted("docker", "", "0.1.0", "0123", ("--no-cache",))


@pytest.fixture
def root(tmp_path):
    """A repository with two services."""
    for service in ("vision", "nlp"):
        (tmp_path / "services" / service).mkdir(parents=True)
        (tmp_path / "services" / service / "servicer.py").touch()
    (tmp_path / "services" / "mesh").mkdir()
    return tmp_path


def test_a_service(root):
    """The service is a build argument, and further flags come last."""
    assert images.build_command("nlp", WANTED) == [
        *("docker", "build", "--file", "deploy/docker/services.Dockerfile", "--build-arg", "SERVICE=nlp"),
        *("--label", "org.opencontainers.image.version=0.1.0", "--label", "org.opencontainers.image.revision=0123"),
        *("--tag", "maas-mesh/nlp:0.1.0", "--no-cache", "."),
    ]


@pytest.mark.parametrize(("image", "stage"), [("triton", "triton"), ("triton-cpu", "embedded")])
def test_triton(image, stage):
    """Both kinds of Triton are stages of one file."""
    command = images.build_command(image, WANTED)
    assert command[3] == "deploy/docker/triton.Dockerfile"
    assert command[command.index("--target") + 1] == stage


def test_buildah():
    """Its command for Dockerfiles is bud; layers that did not change are taken from the last time."""
    assert images.build_command("nlp", Wanted("buildah", "", "1", ""))[:3] == ["buildah", "bud", "--layers"]


def test_a_registry():
    """The registry stands before the name, and only with one can be pushed."""
    wanted = Wanted("podman", "registry.example.com/team/", "2", "")
    assert images.push_command("nlp", wanted) == ["podman", "push", "registry.example.com/team/maas-mesh/nlp:2"]
    with pytest.raises(CannotBuild, match="PUSH needs REGISTRY"):
        images.push_command("nlp", WANTED)


def test_which_engine():
    """The one asked for, or the first that is installed, or a sentence that says what is missing."""
    assert images.engine("", {"podman": "/usr/bin/podman", "buildah": "/usr/bin/buildah"}.get) == "podman"
    assert images.engine("buildah", {"buildah": "/usr/bin/buildah"}.get) == "buildah"
    with pytest.raises(CannotBuild, match="docker is installed"):
        images.engine("docker", {}.get)
    with pytest.raises(CannotBuild, match="None of docker, podman, buildah"):
        images.engine("", {}.get)


def test_which_images(root):
    """All but NVIDIA's, which is 20 GB before we begin; it is built when it is named."""
    assert images.chosen([], root) == ["nlp", "vision", "triton-cpu"]
    assert images.chosen(["triton", "nlp"], root) == ["nlp", "triton"]
    with pytest.raises(CannotBuild, match="There is no image weather: there are nlp, vision, triton, triton-cpu"):
        images.chosen(["weather"], root)


def test_no_symbolic_links_in_the_context(tmp_path):
    """What is linked into the cache is there as files, and what left the catalog is gone."""
    build, cache = tmp_path / ".build", tmp_path / "cache"
    for folder in ("models/tiny/1", "server/lib", "server/pytriton/tritonserver", "assets"):
        (cache / folder).mkdir(parents=True)
    (cache / "models/tiny/1/model.onnx").write_text("weights")
    (cache / "assets/words.json").write_text("{}")
    for folder in ("models", "assets/tokenizers", "images/models/old"):
        (build / folder).mkdir(parents=True)
    (build / "models/tiny").symlink_to(cache / "models/tiny")
    (build / "assets/tokenizers/words.json").symlink_to(cache / "assets/words.json")
    (build / "tritonserver").symlink_to(cache / "server/pytriton/tritonserver")
    context = images.prepare(build)
    assert (context / "models/tiny/1/model.onnx").read_text() == "weights"
    assert not any(path.is_symlink() for path in context.rglob("*"))
    assert {path.name for path in (context / "tritonserver").iterdir()} == {"lib", "pytriton"}
    assert not (context / "models/old").exists()


def test_nothing_was_built(tmp_path):
    """Without `make models` there is a sentence, not a half-filled image."""
    (tmp_path / "tritonserver").mkdir()
    with pytest.raises(CannotBuild, match="run `make models`"):
        images.prepare(tmp_path)
