"""The tree of commands. Only the module of the command that was typed is imported, so that none waits for another's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

from services.cli.times import offer

_MESH, _SERVICES, _COMPOSED = "Run the mesh", "Call a service", "Compose and discover"
_KUBERNETES = "On Kubernetes"

# Name on the command line -> module under services.cli, panel of the help. A module with an `app` is a group; of any
# other the function named like the command is taken.
COMMANDS = {
    "up": ("up", _MESH),
    "status": ("status", _MESH),
    "logs": ("logs", _MESH),
    "restart": ("restart", _MESH),
    "demo": ("demo", _MESH),
    "nlp": ("nlp", _SERVICES),
    "vision": ("vision", _SERVICES),
    "speech": ("speech", _SERVICES),
    "preprocess": ("preprocess", _SERVICES),
    "graph": ("graph", _COMPOSED),
    "models": ("models.group", _COMPOSED),
    "cluster": ("cluster.group", _KUBERNETES),
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The commands that these arguments (without the program's name) can mean: one, or all when none is named."""
    root = typer.Typer(
        name="maas", no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"max_content_width": 100}
    )
    # A callback keeps `maas` a group when only one command is in it.
    root.callback(help=_ABOUT)(_root)
    named = [arguments[0]] if arguments and arguments[0] in COMMANDS else list(COMMANDS)
    for name in named:
        module_name, panel = COMMANDS[name]
        module = import_module(f"services.cli.{module_name}")
        if hasattr(module, "app"):
            offer(module.app)
            root.add_typer(module.app, name=name, rich_help_panel=panel)
        else:
            root.command(name, rich_help_panel=panel)(getattr(module, name))
    return root


_ABOUT = """Typed language, vision and speech services on one address.

Every call takes --json (the answer as JSON on standard output, nothing else), --address, --timeout and --timing.
Exit codes: 0 done, 1 the call failed, 2 wrong usage.
"""


def _root() -> None:
    """Do nothing: the commands do."""
