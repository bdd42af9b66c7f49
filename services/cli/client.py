"""One way to call the mesh: a trace for each call, and errors as a person wants to read them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, cast

import grpc
import typer
from google.protobuf.message import Message

from services.cli import times, traces
from services.cli.failure import explain
from services.cli.output import errors, milliseconds
from services.client.server_timing import REQUEST_KEY, Entry, read

Answer = TypeVar("Answer", bound=Message)
Request = TypeVar("Request", bound=Message)

# As a shell tells that Ctrl-C ended a program.
_INTERRUPTED = 130
_CLOSE_SECONDS = 2.0
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """A call that was made.

    trace_id: "" when none is recorded. seconds: from the request's first byte to the answer's last. first_seconds: to
    the first answer of a stream, if there was one. times: where the time went, if that was asked for and told.
    """

    method: str
    trace_id: str
    seconds: float
    first_seconds: float | None = None
    times: Sequence[Entry] = ()


@dataclass
class Mesh:
    """An open connection to the mesh at an address (host:port).

    collector: where its spans go, or "". tenant: in whose name it calls, "" for the default.
    """

    address: str
    timeout_seconds: float
    channel: grpc.Channel
    collector: str
    tenant: str = ""
    calls: list[Call] = field(default_factory=list)

    def call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        """Call a unary method, "package.Service/Method", within the time-out. Raises grpc.RpcError when it fails."""
        invoke = self.channel.unary_unary(
            f"/{method}", request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        begin = time.perf_counter()
        with traces.traced(method, self.collector) as metadata:
            try:
                found, call = invoke.with_call(request, timeout=self.timeout_seconds, metadata=self._named(metadata))
            except grpc.RpcError as error:
                # What a call raises is the call itself, though grpc's types do not say so.
                call = cast("grpc.Call", error)
                raise
            finally:
                took = time.perf_counter() - begin
                self.calls.append(Call(method, traces.trace_id(call), took, times=_times(call)))
        return found

    @contextmanager
    def stream(self, method: str, request: Message, answer: type[Answer]) -> Iterator[Iterator[Answer]]:
        """Call a method that answers with a stream, and give its answers as they come.

        The time-out is that of the whole. Leaving the block early cancels the call. A stream that fails raises
        grpc.RpcError at the answer that is missing.
        """
        invoke = self.channel.unary_stream(
            f"/{method}", request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        with self._answers(method, partial(invoke, request)) as answers:
            yield answers

    @contextmanager
    def converse(self, method: str, requests: Iterator[Request], answer: type[Answer]) -> Iterator[Iterator[Answer]]:
        """Call a method that takes a stream and answers with one; as `stream`. The mesh says how fast it is sent."""
        invoke = self.channel.stream_stream(
            f"/{method}", request_serializer=_serialize, response_deserializer=answer.FromString
        )
        with self._answers(method, partial(invoke, requests)) as answers:
            yield answers

    @contextmanager
    def _answers(self, method: str, invoke: Callable[..., Any]) -> Iterator[Iterator[Any]]:
        begin = time.perf_counter()
        made = Call(method, "", 0.0)

        def answers() -> Iterator[Any]:
            nonlocal made
            for each in call:
                if made.first_seconds is None:
                    made = replace(made, first_seconds=time.perf_counter() - begin)
                yield each

        with traces.traced(method, self.collector) as metadata:
            call = invoke(timeout=self.timeout_seconds, metadata=self._named(metadata))
            try:
                yield answers()
            finally:
                call.cancel()
                took = time.perf_counter() - begin
                self.calls.append(replace(made, trace_id=traces.trace_id(call), seconds=took, times=_times(call)))

    def _named(self, metadata: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        tenant = (("maas-tenant", self.tenant),) if self.tenant else ()
        return (*metadata, *tenant, *(((REQUEST_KEY, "1"),) if times.wanted() else ()))


def _times(call: grpc.Call) -> list[Entry]:
    return read([*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())]) if times.wanted() else []


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


@contextmanager
def connect(
    address: str, timeout_seconds: float, *, quiet: bool = False, collector: str | None = None, tenant: str = ""
) -> Iterator[Mesh]:
    """A connection for the calls of one command; its spans go to a collector, that of the environment by default.

    A call that fails inside is explained on standard error and ends the command with code 1, Ctrl-C with code 130. At
    the end the last call's time and trace are printed there too, unless `quiet`.
    """
    options = [
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        # The mesh is a place the caller names; a proxy for the web has no part in it.
        ("grpc.enable_http_proxy", 0),
    ]
    with _closing(grpc.insecure_channel(address, options=options)) as channel:
        mesh = Mesh(address, timeout_seconds, channel, traces.collector() if collector is None else collector, tenant)
        try:
            yield mesh
        except grpc.RpcError as error:
            if explain(error, address, timeout_seconds):
                _footer(mesh)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            errors().print("\nstopped", style="dim")
            raise typer.Exit(_INTERRUPTED) from None
        if not quiet:
            _footer(mesh)


@contextmanager
def _closing(channel: grpc.Channel) -> Iterator[grpc.Channel]:
    """The channel, closed at the end of the block; its calls are cancelled then.

    Ctrl-C while a call begins can leave gRPC waiting for ever when it closes: it is not waited for long.
    """
    try:
        yield channel
    finally:
        closing = threading.Thread(target=channel.close, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def _footer(mesh: Mesh) -> None:
    """One dim line: which method, how long, which trace, and where to see it."""
    for call in mesh.calls[-1:]:
        told = [call.method.rpartition("/")[2], milliseconds(call.seconds)]
        if call.first_seconds is not None:
            told.append(f"the first piece after {milliseconds(call.first_seconds)}")
        if call.trace_id:
            ui = traces.ui_of(mesh.address)
            told.append(traces.link(ui, call.trace_id) if ui else f"trace {call.trace_id}")
        # Unbroken, so that a terminal still knows the link as one.
        errors().print(" · ".join(told), style="dim", soft_wrap=True)
        if call.times:
            errors().print(times.draw(call.times, call.seconds))
        elif times.wanted():
            errors().print("the mesh did not tell where the time went", style="dim")
