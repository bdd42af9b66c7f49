"""`--timing`, which every command has that calls the mesh: where the time went, as bars on standard error."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer
from rich.table import Table
from rich.text import Text

from services.cli.options import PANEL
from services.cli.output import milliseconds, span, table
from services.client.server_timing import Entry

_BAR_WIDTH = 40
_NODE = "node."
# In the order in which a call goes through them, and in words.
_STAGES = {
    "receive": "waiting for what is sent",
    "preprocess": "preprocessing",
    "queue": "waiting for the model",
    "compute": "the model",
    "transfer": "to the model and back",
    "model": "the model, and to it and back",
    "call": "calls of services",
    "encode": "writing the answer",
}

_Timing = Annotated[
    bool,
    typer.Option("--timing", help="Tell on standard error where the time went.", rich_help_panel=PANEL),
]
_wanted: ContextVar[bool] = ContextVar("timing", default=False)


def wanted() -> bool:
    """Whether the command was given --timing."""
    return _wanted.get()


def offer(app: typer.Typer) -> None:
    """Give the option to every command of an app that takes the mesh's address."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _offering(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            offer(group.typer_instance)


def _offering(command: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(command)
    if "address" not in signature.parameters or "timing" in signature.parameters:
        return command
    hints = get_type_hints(command, include_extras=True)

    @wraps(command)
    def run(*args: Any, timing: bool = False, **named: Any) -> Any:
        token = _wanted.set(timing)
        try:
            return command(*args, **named)
        finally:
            _wanted.reset(token)

    parameters = [each.replace(annotation=hints[name]) for name, each in signature.parameters.items()]
    option = inspect.Parameter("timing", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Timing)
    run.__annotations__ = {**hints, "timing": _Timing}
    run.__signature__ = signature.replace(parameters=[*parameters, option])  # type: ignore[attr-defined]  # of functions
    return run


def draw(entries: Sequence[Entry], seconds: float) -> Table:
    """A line a stage, with a bar for its part of the whole; a graph's nodes each when they ran, their stages below.

    seconds: that the call took here. What the service does not account for is its own work; what lies between its
    total and ours is the way there and back.
    """
    told = {each.name: each for each in entries if each.milliseconds is not None}
    whole = max(seconds * 1000, 0.001)
    made = table("where_the_time_went", "", "took", right="took")

    def row(label: str, begin: float, took: float, style: str = "") -> None:
        bar = span(min(begin / whole, 1.0), min((begin + took) / whole, 1.0), _BAR_WIDTH)
        made.add_row(Text(label, style), bar, milliseconds(took / 1000))

    total = _of(told, "total")
    way = max(0.0, whole - total)
    row("network and gateway", 0.0, way)
    at = way
    for name, words in _STAGES.items():
        if name in told:
            row(words, at, _of(told, name))
            at += _of(told, name)
    row("the service itself", at, max(0.0, whole - at))
    for each in entries:
        node, _, stage = each.name.removeprefix(_NODE).partition(".")
        if not each.name.startswith(_NODE) or each.milliseconds is None:
            continue
        began = way / 2 + float(told[_NODE + node].parameters.get("start", 0)) if _NODE + node in told else way / 2
        if stage:
            row(f"    {_STAGES.get(stage, stage)}", began, each.milliseconds, "dim")
        else:
            runs = each.parameters.get("runs", "1")
            row(f"node {node}" + (f", {runs} runs" if runs != "1" else ""), began, each.milliseconds)
    return made


def _of(told: dict[str, Entry], name: str) -> float:
    return (told[name].milliseconds or 0.0) if name in told else 0.0
