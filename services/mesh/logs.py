"""Logs: one line an event to standard error, JSON or for people, of our code and of the libraries alike.

They never hold what a caller sent. So tracebacks are without the messages of their exceptions, which often quote it,
and of what libraries say only the first line is taken; at level debug, which an operator chooses for a while, the
messages of exceptions are there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

import structlog
from opentelemetry import trace

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

_LEVELS: dict[str, int] = {name: getattr(logging, name.upper()) for name in get_args(Level)}
# How often a file that names the level is read.
_PERIOD_SECONDS = 2.0
_LONGEST_LIBRARY_LINE = 500
# Exceptions behind each other that a traceback shows.
_DEEPEST = 8

log = structlog.get_logger()


class _Threshold:
    """The lowest level that is written, for the whole process; it may change at any time."""

    number = logging.INFO


class _Logger(structlog.BoundLoggerBase):
    """What `structlog.get_logger()` gives. structlog's own loggers have a level that stays."""

    def debug(self, event: str, **values: object) -> None:
        """For whoever looks for a fault."""
        self._write("debug", event, values)

    def info(self, event: str, **values: object) -> None:
        """What happens."""
        self._write("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """What an operator should know."""
        self._write("warning", event, values)

    def error(self, event: str, **values: object) -> None:
        """What an operator must do something about."""
        self._write("error", event, values)

    def exception(self, event: str, **values: object) -> None:
        """An error, with where the exception that is being handled came from."""
        self._write("error", event, {"exc_info": True, **values})

    def _write(self, level: Level, event: str, values: dict[str, object]) -> None:
        if _LEVELS[level] >= _Threshold.number:
            self._proxy_to_logger(level, event, **values)


def start(service: str, log_format: Format, level: Level) -> None:
    """Set up the logs of this process. service: in each line. log_format: "auto" is for people on a terminal only."""
    for_people = sys.stderr.isatty() if log_format == "auto" else log_format == "console"

    def add_service(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            add_service,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            _write_exception,
            structlog.dev.ConsoleRenderer() if for_people else _to_json,
        ],
        wrapper_class=_Logger,
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    set_level(level)
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda failure: _uncaught(failure.exc_type, failure.exc_value, failure.exc_traceback)


def set_level(level: Level) -> None:
    """Write what is of this level or above from now on."""
    _Threshold.number = _LEVELS[level]


async def follow_level(file: Path, default: Level) -> None:
    """Take the level that a file names whenever it changes, for ever; run it as a task.

    file: may be missing or empty, which means the default. On Kubernetes it comes from a ConfigMap.
    """
    known: str = default
    while True:
        wanted = _read(file) or default
        if wanted != known:
            known = wanted
            _change(wanted)
        await asyncio.sleep(_PERIOD_SECONDS)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip().lower()
    except (OSError, UnicodeDecodeError):
        return ""


def _change(wanted: str) -> None:
    """Set the level and say so, whatever it was and is."""
    if wanted not in _LEVELS:
        log.warning("the file of the log's level names none", levels=list(_LEVELS))
        return
    _Threshold.number = min(_Threshold.number, logging.INFO)
    log.info("the log has another level", now=wanted)
    _Threshold.number = _LEVELS[wanted]


class _Libraries(logging.Handler):
    """Writes what libraries say as a line of ours; asyncio's complaints, warnings and gRPC's come this way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the first line; in the following ones asyncio shows the exceptions that it speaks of."""
        line, *_ = record.getMessage().splitlines() or [""]
        write = log.error if record.levelno >= logging.ERROR else log.warning
        write(line[:_LONGEST_LIBRARY_LINE], logger=record.name, exc_info=record.exc_info)


def _uncaught(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    log.error("an error that nobody caught", exc_info=(kind, error, where))


# Made once: `json.dumps` makes one each time that it is told more than the value.
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _to_json(_: object, __: str, event: structlog.typing.EventDict) -> str:
    return _encode(event)


def _add_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
    return event


def _write_exception(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    # True, as of `exception`; or, from libraries, the tuple of sys.exc_info.
    given: Any = event.pop("exc_info", None)
    error = (sys.exc_info() if given is True else given)[1] if given else None
    if error is not None:
        whole = _Threshold.number <= logging.DEBUG
        event["exception"] = "".join(traceback.format_exception(error) if whole else _without_messages(error))
    return event


def _without_messages(error: BaseException, depth: int = 0) -> Iterator[str]:
    """A traceback that names the types of its exceptions only."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < _DEEPEST:
        yield from _without_messages(cause, depth + 1)
        yield "\nthen\n\n"
    if isinstance(error, BaseExceptionGroup) and depth < _DEEPEST:
        for each in error.exceptions:
            yield from _without_messages(each, depth + 1)
            yield "\nin\n\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"
