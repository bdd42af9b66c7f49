"""`python -m deploy.k8s render`: writes the rendered files of the manifests, and every overlay to .build/k8s.

With --check it writes nothing and fails when a committed file is stale. `python -m deploy.k8s check` renders every
overlay and combination of components, or overlays of yours, and says what is wrong with them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.k8s.checks.command import check as check_manifests
from deploy.k8s.gateway import files
from deploy.k8s.overlays import CannotBuild, build, overlays

_REPOSITORY = Path(__file__).resolve().parents[2]
_BUILD = _REPOSITORY / ".build"


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser("render", help="render the gateway's configuration and every overlay")
    render.add_argument("--check", action="store_true", help="only say which committed files are stale")
    check = commands.add_parser("check", help="check every overlay and combination of components")
    check.add_argument("folder", nargs="*", type=Path, help="check these overlays of yours, digests included, instead")
    asked = parser.parse_args(arguments)
    return check_manifests(asked.folder) if asked.command == "check" else _render(check=asked.check)


def _render(*, check: bool) -> int:
    rendered = files(_BUILD / "protos" / "maas.binpb")
    stale = [path for path, content in rendered.items() if not path.is_file() or path.read_bytes() != content]
    if check:
        for path in stale:
            print(f"{path.relative_to(_REPOSITORY)} is stale: run `make manifests` and commit it", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rendered[path])
        print(f"wrote {path.relative_to(_REPOSITORY)}")
    output = _BUILD / "k8s"
    output.mkdir(exist_ok=True)
    for folder in overlays():
        try:
            text = build(folder)
        except CannotBuild as refused:
            print(refused, file=sys.stderr)
            return 1
        path = output / f"{folder.name}.yaml"
        path.write_text(text)
        print(f"{path.relative_to(_REPOSITORY)}: {text.count(chr(10) + 'kind: ') + text.startswith('kind: ')} objects")
    return 0


if __name__ == "__main__":
    sys.exit(main())
