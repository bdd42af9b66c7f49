"""`python -m deploy.docker`: build the container images, and push them if asked (`make images`)."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from deploy.docker import images
from deploy.docker.images import CannotBuild, Wanted

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.docker", description=__doc__)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="a service, triton-cpu or triton; all but triton")
    parser.add_argument("--engine", default="", help=f"one of {', '.join(images.ENGINES)}; the first installed")
    parser.add_argument("--registry", default="", help="put before the names, for example registry.example.com/team")
    parser.add_argument("--tag", default="0.1.0")
    parser.add_argument("--push", action="store_true", help="push each image once it is built")
    parser.add_argument("--flags", default="", help="further arguments of the engine's build command, in one word")
    options = parser.parse_args(arguments)
    try:
        wanted = Wanted(
            images.engine(options.engine),
            options.registry,
            options.tag,
            _revision(),
            tuple(shlex.split(options.flags)),
        )
        names = images.chosen(options.images, ROOT)
        pushes = {name: images.push_command(name, wanted) for name in names} if options.push else {}
        images.prepare(ROOT / ".build")
        for name in names:
            began = time.monotonic()
            _run(images.build_command(name, wanted))
            print(f"{wanted.name(name)} built in {time.monotonic() - began:.0f} s", flush=True)
            if name in pushes:
                _run(pushes[name])
    except CannotBuild as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _revision() -> str:
    """The commit that is checked out; "" outside a repository."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _run(command: list[str]) -> None:
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise CannotBuild(f"this failed: {shlex.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
