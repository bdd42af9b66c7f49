"""`maas logs`: what the processes of the mesh on this machine write, and how much of it."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.text import Text

from deploy.local.lock import holder
from deploy.local.processes import SERVICES
from deploy.local.settings import LocalSettings, settings_for
from services.cli import output
from services.mesh.logs import Level

app = typer.Typer(help="Read the logs of the mesh on this machine, and change their level.", no_args_is_help=True)

_COLOURS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red"}
_SETTING = "default"
_PERIOD_SECONDS = 0.3

_Port = Annotated[int | None, typer.Option(envvar="MAAS_PORT", help="The mesh's port; 8080 without it.")]


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A process, as `maas status` calls it.")],
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last.")] = 30,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="And those that come, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As they were written.")] = False,
    port: _Port = None,
) -> None:
    """Show what a process has written."""
    file = _settings(port).logs / f"{name}.log"
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in file.parent.glob("*.log"))) or "none yet"
        raise typer.BadParameter(f"there is no log of {name!r}; there are: {known}")
    console = output.console()
    for line in _lines(file, lines, follow=follow):
        if as_json:
            print(line)
        else:
            console.print(_readable(line))


@app.command()
def level(
    name: Annotated[str, typer.Argument(help=f"A service, {', '.join(SERVICES)}; or all.")],
    wanted: Annotated[str, typer.Argument(metavar="LEVEL", help=f"{', '.join(get_args(Level))}; or {_SETTING}.")],
    port: _Port = None,
) -> None:
    """Change what services write while they run, within two seconds. It lasts until `default`, also over restarts."""
    if wanted not in (*get_args(Level), _SETTING):
        raise typer.BadParameter(f"there is no level {wanted!r}; there are: {', '.join((*get_args(Level), _SETTING))}")
    if name not in (*SERVICES, "all"):
        raise typer.BadParameter(f"there is no service {name!r}; there are: {', '.join(SERVICES)} and all")
    settings = _settings(port)
    for each in SERVICES if name == "all" else [name]:
        file = settings.log_level_file(each)
        file.parent.mkdir(parents=True, exist_ok=True)
        # In one step: a service may be reading it.
        new = file.with_name(f".{each}")
        new.write_text("" if wanted == _SETTING else wanted)
        new.replace(file)


def _settings(port: int | None) -> LocalSettings:
    settings = settings_for(port)
    running = holder(settings.run)
    if running is None:
        output.errors().print("no mesh runs here; start it with: maas up")
        raise typer.Exit(1)
    return settings.model_copy(update={"port": running.port})


def _lines(file: Path, last: int, *, follow: bool) -> Iterator[str]:
    """The last lines of a log, then those that are added; when it is rotated, those of the new file."""
    opened = file.open(encoding="utf-8", errors="replace")
    try:
        yield from (line.rstrip("\n") for line in deque(opened, maxlen=last))
        while follow:
            line = opened.readline()
            if line:
                yield line.rstrip("\n")
                continue
            time.sleep(_PERIOD_SECONDS)
            with suppress(FileNotFoundError):  # for a moment, while it is rotated
                if file.stat().st_ino != os.fstat(opened.fileno()).st_ino:
                    opened.close()
                    opened = file.open(encoding="utf-8", errors="replace")
    finally:
        opened.close()


def _readable(line: str) -> Text:
    """A line of JSON in columns, any other as it is."""
    try:
        said: dict[str, Any] = json.loads(line)
        when, level, event = (str(said.pop(key)) for key in ("timestamp", "level", "event"))
    except (ValueError, KeyError, AttributeError):
        return Text(line)
    said.pop("service", None)
    where = said.pop("exception", "")
    text = Text.assemble((when[11:23], "dim"), " ", (f"{level:<7}", _COLOURS.get(level, "")), " ", (event, "bold"))
    for key, value in said.items():
        told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text.append(f"  {key}=", "dim").append(told)
    return text.append(f"\n{where.rstrip()}", "red") if where else text
