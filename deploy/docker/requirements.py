"""Prints what pip shall install for some extras of pyproject.toml: `python3 requirements.py pyproject.toml nlp ...`.

The images install no package of ours, so that a change of code leaves their layer of packages alone; and extras name
each other, which pip resolves for a package that it builds only. Standard library only: it runs before anything else.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(project: Path, extras: list[str]) -> list[str]:
    """What every service needs and what the extras add, each once. Raises KeyError for an extra that is not there."""
    described = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    ours = re.compile(rf"{re.escape(described['name'])}\[([\w,-]+)\]")
    found = list(described["dependencies"])
    waiting, seen = list(extras), set()
    while waiting:
        extra = waiting.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in described["optional-dependencies"][extra]:
            if named := ours.fullmatch(requirement):
                waiting += named[1].split(",")
            else:
                found.append(requirement)
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2:])))
