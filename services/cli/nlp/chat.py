"""`maas nlp chat`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import grpc
import typer

from maas.nlp.v1 import conversation_pb2 as pb
from services.cli.client import Mesh, connect
from services.cli.failure import explain
from services.cli.nlp.analysis import SERVICE
from services.cli.nlp.answers import MaxTokens, Seed, Stop, System, Temperature, remarks, system_message
from services.cli.nlp.conversation import PassageFiles, PassageTexts, passages
from services.cli.nlp.written import print_pieces, tell
from services.cli.options import WRITING_SECONDS, Address, Json, Model, Timeout
from services.cli.output import errors

# What is sent along of what was said before: some half of the context of a small model.
_MAX_MESSAGES, _MAX_BYTES = 20, 6000


def chat(
    *,
    address: Address,
    system: System = "",
    passage_files: PassageFiles = None,
    passage_texts: PassageTexts = None,
    max_tokens: MaxTokens = 0,
    temperature: Temperature = None,
    seed: Seed = None,
    stop: Stop = None,
    model: Model = "",
    timeout: Timeout = WRITING_SECONDS,
    as_json: Json = False,
) -> None:
    """Talk with a model: a line in, the reply streams out.

    Ctrl-C stops a reply, Ctrl-D ends. What was said longest ago is forgotten as the conversation grows.
    """
    request = pb.GenerateReplyRequest(
        passages=passages(passage_files, passage_texts),
        parameters=pb.GenerationParameters(
            max_tokens=max_tokens, temperature=temperature, seed=seed, stop_sequences=stop or []
        ),
        model=model,
    )
    said: list[pb.ChatMessage] = []
    with connect(address, timeout, quiet=True) as mesh:
        for line in _lines():
            said = recent([*said, pb.ChatMessage(role=pb.ROLE_USER, content=line)])
            del request.messages[:]
            request.messages.extend([*system_message(system), *said])
            reply = _reply(mesh, request, as_json=as_json)
            if reply:
                said.append(pb.ChatMessage(role=pb.ROLE_ASSISTANT, content=reply))
            else:
                said.pop()


def recent(said: list[pb.ChatMessage]) -> list[pb.ChatMessage]:
    """The latest messages that are few and short enough together, beginning with one of the user; always the last."""
    size, first = 0, len(said)
    for position in range(len(said) - 1, max(-1, len(said) - 1 - _MAX_MESSAGES), -1):
        size += len(said[position].content.encode())
        if size > _MAX_BYTES:
            break
        if said[position].role == pb.ROLE_USER:
            first = position
    return said[min(first, len(said) - 1) :]


def _reply(mesh: Mesh, request: pb.GenerateReplyRequest, *, as_json: bool) -> str:
    """Print the reply as it is written. Returns what was written of it until the end, Ctrl-C or a failure."""
    seen: list[str] = []
    try:
        streamed = pb.StreamGenerateReplyRequest(request=request)
        with mesh.stream(f"{SERVICE}/StreamGenerateReply", streamed, pb.StreamGenerateReplyResponse) as pieces:
            last = print_pieces(pieces, seen, as_json=as_json)
        if last and not as_json:
            tell(remarks(last.response))
    except KeyboardInterrupt:
        errors().print("stopped", style="dim")
    except grpc.RpcError as error:
        if not _looks_on():
            raise
        # Whoever types can go on; a script has to know.
        explain(error, mesh.address, mesh.timeout_seconds)
    return "".join(seen)


def _lines() -> Iterator[str]:
    """What is typed, or stands on standard input, line by line until its end."""
    prompt = ""
    if _looks_on():
        import readline  # noqa: F401, PLC0415 - lets a person edit the line; loaded only for one

        errors().print("Ctrl-C stops a reply, Ctrl-D ends.", style="dim")
        prompt = "> "
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            if prompt:
                print()
            return
        except UnicodeDecodeError:
            raise typer.BadParameter("standard input is no UTF-8 text") from None
        except KeyboardInterrupt:
            if not prompt:
                raise
            # The line is dropped, as in a shell.
            print()
            continue
        if line:
            yield line


def _looks_on() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
