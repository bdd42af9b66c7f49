"""`python -m deploy.k8s check`: render, check, and say what is wrong in a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.k8s.checks.all import CHECKS, Finding, run
from deploy.k8s.checks.kustomize import render_folder, renderings
from deploy.k8s.overlays import CannotBuild

# More renderings than this are counted and not named.
_NAMED = 3


def check(folders: Sequence[Path] = (), console: Console | None = None) -> int:
    """Print a table of findings; 0 when there is none.

    folders: overlays of an operator's; without any, those of the repository and its combinations of components.
    """
    out = console or Console()
    began = time.monotonic()
    try:
        rendered = [render_folder(folder) for folder in folders] or list(renderings())
    except CannotBuild as error:
        out.print(f"manifests: {error}", markup=False)
        return 1
    findings = run(rendered)
    if findings:
        out.print(_table(findings))
    out.print(
        f"manifests: {len(rendered)} renderings, {sum(len(each.documents) for each in rendered)} objects, "
        f"{len(CHECKS)} checks, {len(findings)} findings in {time.monotonic() - began:.1f} s"
    )
    return 1 if findings else 0


def _table(findings: list[Finding]) -> Table:
    table = Table("object", "what is wrong", "check", "in")
    for each in sorted(findings, key=lambda found: (found.problem.object, found.check)):
        more = len(each.renderings) - _NAMED
        where = ", ".join(each.renderings[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        table.add_row(each.problem.object, each.problem.text, each.check, where)
    return table
