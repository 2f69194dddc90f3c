"""Owns the log of a role's process: one configuration for structlog and the standard library's loggers.

Only roles call this. An application that uses a TritonBroker in a worker of its own configures its log as it
likes; what Triton has for it is in `triton.observe.fields`.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog

from triton.observe.fields import (
    Exceptions,
    Line,
    Process,
    Said,
    dramatiq_line,
    job_context,
    no_secrets,
)
from triton.settings import Settings

#: What a line begins with; the rest follows in the order in which it was said.
_FIRST: Final = ("timestamp", "level", "event", "role", "pid", "logger")
#: Loggers that tell of every step at their own `info`, and are heard from `warning` on.
_CHATTY: Final = (
    *("botocore", "boto3", "urllib3", "httpx", "httpcore", "s3transfer", "pypdf"),
    *("uvicorn.error", "dramatiq.middleware.asyncio", "asyncio"),
)


def configure(role: str, settings: Settings, *, stream: TextIO | None = None) -> None:
    """Write the process's log to `stream` (standard error) from now on, as the settings say. May be called
    again, say after a fork, or with another stream."""
    out = sys.stderr if stream is None else stream
    text = format_for(settings, out) == "text"
    level = logging.getLevelName(settings.log_level.upper())
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        job_context,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        Process(role),
        Exceptions(words=settings.log_messages, text=text),
        no_secrets,
    ]
    render = _console(out) if text else as_json
    handler = logging.StreamHandler(out)
    # Past the standard library: through it a line costs three times as much, and each request is one.
    structlog.configure(
        processors=[*common, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *named: _Direct(handler, *named),
        cache_logger_on_first_use=False,
    )
    handler.addFilter(Said())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[dramatiq_line, *common],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                render,
            ],
            pass_foreign_args=True,
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # uvicorn's own lines of requests would hold queries, in which there are stream tokens.
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False
    logging.captureWarnings(True)


class _Direct:
    """Writes ready lines where the standard library's handler writes, one after the other."""

    def __init__(self, handler: logging.StreamHandler[Any], name: str = "") -> None:
        self.name = name
        self._handler = handler

    def write(self, line: str) -> None:
        handler = self._handler
        handler.acquire()
        try:
            handler.stream.write(line + handler.terminator)
            handler.flush()
        except (OSError, ValueError):
            # Nobody reads any more: that must not end what is told of.
            pass
        finally:
            handler.release()

    debug = info = warning = error = critical = exception = write


def as_json(_logger: Any, _method: str, line: Line) -> str:
    """The line as one JSON object."""
    ordered = {name: line[name] for name in _FIRST if name in line}
    ordered.update(line)
    try:
        return msgspec.json.encode(ordered, enc_hook=repr).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        # A lone surrogate, a key that is no text: a line is better told oddly than not at all.
        return json.dumps({str(name): repr(value) for name, value in ordered.items()})


def format_for(settings: Settings, out: TextIO) -> Literal["json", "text"]:
    """The format that the settings mean for a stream."""
    if settings.log_format == "auto":
        return "text" if out.isatty() else "json"
    return settings.log_format


def _console(out: TextIO) -> Any:
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
    )
