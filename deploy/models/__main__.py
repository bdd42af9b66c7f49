"""`python -m deploy.models build`: make .build/models, .build/assets, .build/tritonserver and .build/samples."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.models import build
from deploy.models.builders import BuildError
from deploy.models.catalog import CatalogError
from deploy.models.fetch import Fetcher, FetchError, cache_directory
from deploy.models.selection import VARIABLE, this_machine

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]


class Display(build.Progress):
    """One line an item: what it is doing and for how long; on a terminal they stay in place and are kept up to date."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: dict[str, float] = {}
        self._lines: dict[str, tuple[str, float | None]] = {}
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=8, transient=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def step(self, item: str, words: str) -> None:
        """Show what the item is doing."""
        self._show(item, words, done=False)

    def end(self, item: str, words: str) -> None:
        """Show that the item is there."""
        self._show(item, words, done=True)

    def _show(self, item: str, words: str, *, done: bool) -> None:
        now = time.monotonic()
        with self._lock:
            if words.startswith(("downloading", "building")):
                self._began[item] = now  # else the time would count that it waited for its turn
            elapsed = now - self._began.setdefault(item, now)
            self._lines[item] = (words, elapsed if done else None)
        if not self._console.is_terminal:
            self._console.print(
                f"{item}: {words}" + (f" ({elapsed:.1f} s)" if done and elapsed > 1 else ""), markup=False
            )

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        with self._lock:
            for item, (words, elapsed) in self._lines.items():
                mark = "[green]✓[/]" if elapsed is not None else "[yellow]…[/]"
                seconds = elapsed if elapsed is not None else now - self._began[item]
                table.add_row(mark, item, words, f"{seconds:.1f} s" if seconds >= 1 else "")
        return table


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.models", description=__doc__)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a model, tritonserver or samples")
    parser.add_argument("--catalog", type=Path, default=build.HERE / "catalog", help="directory of catalog files")
    parser.add_argument("--output", type=Path, default=ROOT / ".build", help="where the links are made")
    options = parser.parse_args(arguments)
    cache = cache_directory(os.environ)
    places = build.Places(cache=cache, output=options.output.absolute(), catalog=options.catalog.absolute())
    try:
        machine = this_machine(os.environ.get(VARIABLE, ""))
        with Display(Console()) as display:
            build.run(places, Fetcher(cache), display, machine, frozenset(options.only))
    except (CatalogError, FetchError, BuildError) as error:
        print(f"models: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("models: stopped; what was finished is kept.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
