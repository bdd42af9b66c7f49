"""A run makes the repository, a second one finds it, and a change rebuilds what it touches."""

from __future__ import annotations

import pytest
import yaml

from deploy.models import build
from deploy.models.builders import BuildError
from deploy.models.catalog import CatalogError
from deploy.models.fetch import Fetcher
from deploy.models.selection import Machine
from tests.unit.deploy.models.conftest import sha256


class Recorder(build.Progress):
    """Keeps how each item ended."""

    def __init__(self):
        self.ended = {}

    def end(self, item, words):
        self.ended[item] = words


@pytest.fixture
def make(tmp_path, registry, entry, write):
    """Run a build of the catalog as it is now; returns how each item ended."""
    registry.wheel("tiny-1.0", {"tiny/model.onnx": b"weights", "tiny/names.txt": b"no\nyes\n", "photo.jpg": b"jpg"})
    registry.wheel("server-1.0", {"root/bin/server": b"elf"})
    (tmp_path / "server.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "tritonserver",
                "version": "1",
                "licence": "BSD",
                "package": "pypi:server==1.0",
                "sha256": sha256(registry.archives["server-1.0.whl"]),
                "root": "root",
                "members": ["root/*"],
            }
        )
    )
    sample = {"name": "photo.jpg", "kind": "photo", "licence": "CC0", "package": "pypi:tiny==1.0", "shows": "a photo"}
    samples = {"samples": [sample | {"file": "photo.jpg", "sha256": sha256(b"jpg")}]}
    (tmp_path / "samples.yaml").write_text(yaml.safe_dump(samples))
    write(entry)

    def run(*only: str, memory_gib: float = 8) -> dict[str, str]:
        places = build.Places(
            cache=tmp_path / "cache",
            output=tmp_path / "out",
            catalog=tmp_path / "catalog",
            server=tmp_path / "server.yaml",
            samples=tmp_path / "samples.yaml",
        )
        progress = Recorder()
        build.run(
            places, Fetcher(places.cache, registry.run, pause_seconds=0), progress, Machine(memory_gib), frozenset(only)
        )
        return progress.ended

    return run


def test_everything_is_made_and_linked(make, tmp_path):
    """One run gives the model with its configurations, the server and the samples."""
    make()
    model = tmp_path / "out" / "models" / "tiny"
    assert model.is_symlink()
    assert (model / "1" / "model.onnx").read_bytes() == b"weights"
    assert 'name: "tiny"' in (model / "config.pbtxt").read_text()
    assert "KIND_GPU" in (model / "configs" / "gpu.pbtxt").read_text()
    assert (tmp_path / "out" / "tritonserver" / "bin" / "server").read_bytes() == b"elf"
    assert (tmp_path / "out" / "samples" / "photo.jpg").read_bytes() == b"jpg"


def test_a_second_run_asks_no_registry(make, registry):
    """What is there is found: no command, nothing built."""
    make()
    commands = len(registry.commands)
    assert set(make().values()) == {"found in the cache"}
    assert len(registry.commands) == commands


def test_a_changed_description_keeps_the_weights(make, entry, write, registry, tmp_path):
    """A new summary makes a new folder around the same weights, without the builder and without a download."""
    make()
    old = (tmp_path / "out" / "models" / "tiny").resolve()
    commands = len(registry.commands)
    write(entry | {"summary": "Another summary"})
    assert make()["tiny"] == "built"
    new = (tmp_path / "out" / "models" / "tiny").resolve()
    assert new != old
    assert "Another summary" in (new / "config.pbtxt").read_text()
    assert len(list((tmp_path / "cache" / "weights").iterdir())) == 1
    assert len(registry.commands) == commands


def test_a_changed_option_builds_anew(make, entry, write, tmp_path):
    """Another builder option is another model."""
    make()
    entry["builder"]["files"] = {"renamed.onnx": ["tiny/model.onnx"]}
    write(entry)
    make()
    assert (tmp_path / "out" / "models" / "tiny" / "1" / "renamed.onnx").is_file()
    assert len(list((tmp_path / "cache" / "weights").iterdir())) == 2


def test_a_model_that_left_the_catalog_loses_its_link(make, entry, write, tmp_path):
    """Services find what the repository holds, so a removed model must go from it."""
    write(entry | {"name": "other"})
    make()
    (tmp_path / "catalog" / "other.yaml").unlink()
    make()
    assert [path.name for path in (tmp_path / "out" / "models").iterdir()] == ["tiny"]


def test_only_the_named_item(make, tmp_path):
    """--only makes one thing and leaves the rest alone; an unknown name lists the known ones."""
    assert list(make("tiny")) == ["tiny"]
    assert not (tmp_path / "out" / "samples").exists()
    with pytest.raises(CatalogError, match="nothing is not in the catalog; it has samples, tiny, tritonserver"):
        make("nothing")


def test_one_of_two_sizes(make, entry, write, registry, tmp_path):
    """The small model is built where the large one does not fit, and is not even downloaded where it does."""
    registry.wheel("large-1.0", {"tiny/model.onnx": b"weights"})
    registry.wheel("small-1.0", {"tiny/model.onnx": b"slight"})
    (tmp_path / "catalog" / "tiny.yaml").unlink()
    for name, content, more in (
        ("large", b"weights", {"default": True, "needs": {"memory_gib": 4}}),
        ("small", b"slight", {"stands_in_for": "large"}),
    ):
        source = {"package": f"pypi:{name}==1.0", "files": {"tiny/model.onnx": sha256(content)}}
        write(entry | more | {"name": name, "sources": [source]})
    assert "this machine has 8 GiB" in make()["large"]
    assert not any("small==1.0" in command for command in registry.commands)
    assert "small instead of large" in make("small", memory_gib=2)["small"]
    assert [path.name for path in (tmp_path / "out" / "models").iterdir()] == ["small"]
    assert "small instead of large" in (tmp_path / "out" / "models" / "small" / "config.pbtxt").read_text()
    with pytest.raises(CatalogError, match="small is not for this machine; MAAS_MODEL_SIZE"):
        make("small")


def test_labels_and_assets_from_a_source(make, entry, write, tmp_path):
    """Labels come into the card, and a tokenizer is linked among the assets, also when the model is found."""
    entry["sources"][0]["files"]["tiny/names.txt"] = sha256(b"no\nyes\n")
    entry |= {"labels": {"file": "tiny/names.txt"}, "assets": {"tokenizers/tiny.json": "tiny/names.txt"}}
    write(entry)
    for _ in range(2):
        make()
        assert (tmp_path / "out" / "assets" / "tokenizers" / "tiny.json").read_bytes() == b"no\nyes\n"
    assert "yes" in (tmp_path / "out" / "models" / "tiny" / "config.pbtxt").read_text()


def test_an_operators_own_weights(make, entry, write, registry, tmp_path):
    """A local file needs no package and no checksum, and changing it builds the model anew."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.onnx").write_bytes(b"first")
    entry["sources"] = [{"path": "../own", "files": {"model.onnx": None}}]
    entry["builder"]["files"] = {"model.onnx": ["model.onnx"]}
    write(entry)
    make("tiny")
    assert not registry.commands
    (tmp_path / "own" / "model.onnx").unlink()
    (tmp_path / "own" / "model.onnx").write_bytes(b"second")
    make("tiny")
    assert (tmp_path / "out" / "models" / "tiny" / "1" / "model.onnx").read_bytes() == b"second"


def test_parts_are_joined_and_checked(make, entry, write, tmp_path):
    """Parts are joined in their order; a wrong checksum of the whole names the model and leaves nothing behind."""
    entry["sources"][0]["files"]["tiny/names.txt"] = sha256(b"no\nyes\n")
    files = {"whole.bin": ["tiny/model.onnx", "tiny/names.txt"]}
    entry["builder"] = {"name": "files", "files": files, "sha256": {"whole.bin": sha256(b"weightsno\nyes\n")}}
    write(entry)
    make()
    assert (tmp_path / "out" / "models" / "tiny" / "1" / "whole.bin").read_bytes() == b"weightsno\nyes\n"
    entry["builder"]["sha256"]["whole.bin"] = "0" * 64
    write(entry)
    with pytest.raises(BuildError, match=r"tiny: whole\.bin has SHA-256"):
        make()
    assert len(list((tmp_path / "cache" / "weights").iterdir())) == 1


def test_a_further_version_is_a_folder_beside_the_first(make, entry, write, registry, tmp_path):
    """Its own weights and code; the configuration is the newest's, and what was built before is found."""
    make()
    alone = (tmp_path / "out" / "models" / "tiny").resolve()
    commands = len(registry.commands)
    registry.wheel("tiny-2.0", {"tiny/model.onnx": b"better weights"})
    source = {"package": "pypi:tiny==2.0", "files": {"tiny/model.onnx": sha256(b"better weights")}}
    second = entry | {"version": 2, "summary": "A better one", "sources": [source]}
    write(second)
    assert make()["tiny"] == "built"
    model = tmp_path / "out" / "models" / "tiny"
    assert (model / "1" / "model.onnx").read_bytes() == b"weights"
    assert (model / "2" / "model.onnx").read_bytes() == b"better weights"
    assert "A better one" in (model / "config.pbtxt").read_text()
    assert ["tiny==2.0" in command for command in registry.commands[commands:]] == [True]
    assert make()["tiny"] == "found in the cache"
    (tmp_path / "catalog" / "tiny.2.yaml").unlink()
    assert make()["tiny"] == "found in the cache"
    assert model.resolve() == alone


def test_a_version_can_stand_alone(make, entry, write, tmp_path):
    """When the first has served its time its file goes, and the second keeps its number."""
    write(entry | {"version": 2})
    (tmp_path / "catalog" / "tiny.yaml").unlink()
    make()
    model = tmp_path / "out" / "models" / "tiny"
    assert sorted(path.name for path in model.iterdir() if path.name.isdigit()) == ["2"]


def test_the_weights_of_two_versions_may_be_the_same(make, entry, write, tmp_path):
    """Only the description differs: the builder runs once."""
    write(entry | {"version": 2, "summary": "Says more of itself"})
    make()
    assert len(list((tmp_path / "cache" / "weights").iterdir())) == 1
