"""The end of the demo: where everything is, and three commands that work as they stand."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from services.cli.options import DEFAULT_ADDRESS, local_address
from services.cli.output import table


def goodbye(out: Console, address: str, ui: str, build: Path) -> None:
    """Print addresses and commands. address: host:port of the gateway; ui: of the tracing UI, or "".

    build: the folder with `samples`; what the commands write goes there too.
    """
    where = table("address", "")
    where.show_header = False
    where.add_row("gRPC", address)
    where.add_row("JSON", f"http://{address}/v1/capabilities")
    where.add_row("traces", f"http://{ui}/" if ui else "not recorded; start with: maas up --traces")
    out.print(Text("\nADDRESSES", "bold"))
    out.print(where)
    out.print(Text("\nTRY NEXT", "bold"))
    for command in commands(address, build):
        # Whole, however narrow the terminal is: it is there to be copied.
        out.print(Text(f"{command}\n", "green"), soft_wrap=True)


def commands(address: str, build: Path) -> list[str]:
    """Three commands for a shell in the current folder: JSON with curl, the command `maas`, and gRPC from Python."""
    # Said unless it is what everybody has: a port may have been set for the demo alone.
    elsewhere = "" if address == local_address() == DEFAULT_ADDRESS else f" --address {address}"
    photo = shlex.quote(_near(build / "samples" / "people-at-table.jpg"))
    drawn = shlex.quote(_near(build / "demo" / "people.png"))
    return [
        f'curl -s http://{address}/v1/nlp:analyzeSentiment \\\n  -d \'{{"contents": ["What a lovely day!"]}}\'',
        f"{_program('maas')} vision detect {photo} --save {drawn}{elsewhere}",
        f"""{_program("python")} -c "
import grpc
from maas.nlp.v1 import nlp_pb2 as nlp, nlp_pb2_grpc
stub = nlp_pb2_grpc.NlpServiceStub(grpc.insecure_channel('{address}'))
request = nlp.AnalyzeSentimentRequest(contents=['What a lovely day!'])
print(stub.AnalyzeSentiment(request))\"""",
    ]


def _program(name: str) -> str:
    """A program of this virtual environment as one can type it here: its name alone when that finds it."""
    path = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    return name if found and Path(found) == path else shlex.quote(_near(path))


def _near(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
