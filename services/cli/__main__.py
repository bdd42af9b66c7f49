"""Runs the command: `maas`, or `python -m services.cli`."""

from __future__ import annotations

import os
import sys

from services.cli.app import build
from services.cli.output import errors


def main() -> None:
    """Run the command named by the arguments. Exit code 0: done; 1: the call failed; 2: wrong usage."""
    # gRPC writes about its connections to standard error, which is ours to speak on.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        build(sys.argv[1:])()
    except Exception as error:
        if os.environ.get("MAAS_DEBUG"):
            raise
        errors().print(
            f"maas: this should not have happened: {type(error).__name__}: {error}\n"
            "It is a fault of the command itself; MAAS_DEBUG=1 shows where.",
            style="red",
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
