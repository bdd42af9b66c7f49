"""Which images there are, and how each engine is asked to build and push them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.models.fetch import link_or_copy

# In this order of preference, when several are installed.
ENGINES = ("docker", "podman", "buildah")
TRITON = {"triton": "triton", "triton-cpu": "embedded"}  # image -> stage of triton.Dockerfile


class CannotBuild(Exception):
    """An engine, an image or a file that it is made of is missing; the message says what to do."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for. flags: further arguments of the engine's build command."""

    engine: str
    registry: str
    tag: str
    revision: str
    flags: tuple[str, ...] = ()

    def name(self, image: str) -> str:
        """The image's whole name."""
        return f"{self.registry.rstrip('/')}/maas-mesh/{image}:{self.tag}".lstrip("/")


def services(root: Path) -> list[str]:
    """The services of this repository, each of which has an image."""
    return sorted(path.parent.name for path in (root / "services").glob("*/servicer.py"))


def engine(asked: str, found: Callable[[str], str | None] = shutil.which) -> str:
    """The engine asked for, or the first that is installed. Raises CannotBuild."""
    for name in [asked] if asked else ENGINES:
        if found(name):
            return name
    raise CannotBuild(f"{asked or 'None of ' + ', '.join(ENGINES)} is installed: install one that builds images.")


def chosen(names: Sequence[str], root: Path) -> list[str]:
    """The images named; by default all but NVIDIA's, whose base is some 20 GB. Raises CannotBuild for unknown ones."""
    known = [*services(root), *TRITON]
    if unknown := sorted(set(names) - set(known)):
        raise CannotBuild(f"There is no image {unknown[0]}: there are {', '.join(known)}.")
    return [name for name in known if name in names] if names else [name for name in known if name != "triton"]


def prepare(build: Path) -> Path:
    """Put what `make models` built into <build>/images without symbolic links, which an engine would not follow.

    Hard links where the file system has them: it takes no space. Raises CannotBuild.
    """
    target = build / "images"
    shutil.rmtree(target, ignore_errors=True)
    sources = {
        "assets": build / "assets",
        "models": build / "models",
        # The server finds its libraries beside the directory that holds it.
        "tritonserver": (build / "tritonserver").resolve().parents[1],
    }
    for name, source in sources.items():
        if not source.is_dir():
            raise CannotBuild(f"There is no {source}: run `make models`.")
        shutil.copytree(source, target / name, copy_function=_take, ignore=shutil.ignore_patterns(".*"))
    return target


def _take(source: str, target: str) -> None:
    link_or_copy(Path(source).resolve(), target)


def build_command(image: str, wanted: Wanted) -> list[str]:
    """What builds one image from the repository's root."""
    dockerfile = "triton" if image in TRITON else "services"
    which = ["--target", TRITON[image]] if image in TRITON else ["--build-arg", f"SERVICE={image}"]
    return [
        wanted.engine,
        *(["build"] if wanted.engine != "buildah" else ["bud", "--layers"]),
        *("--file", f"deploy/docker/{dockerfile}.Dockerfile"),
        *which,
        # Not as arguments of the build: buildah takes a label from its cache although an argument in it has changed.
        *("--label", f"org.opencontainers.image.version={wanted.tag}"),
        *("--label", f"org.opencontainers.image.revision={wanted.revision}"),
        *("--tag", wanted.name(image)),
        *wanted.flags,
        ".",
    ]


def push_command(image: str, wanted: Wanted) -> list[str]:
    """What pushes one image to its registry. Raises CannotBuild without one."""
    if not wanted.registry:
        raise CannotBuild("PUSH needs REGISTRY, for example registry.example.com/team.")
    return [wanted.engine, "push", wanted.name(image)]
