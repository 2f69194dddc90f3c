"""Owns whether this process traces. Where it does not, nothing of OpenTelemetry is loaded or asked.

A role traces where the standard variables name an exporter (see `triton.settings.tracing_wanted`). An
application that has set up OpenTelemetry for itself calls `enable()`, and its TritonBroker takes part.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from triton.errors import ConfigurationError
from triton.observe.logger import get_logger
from triton.settings import Settings, tracing_wanted

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from triton.observe.spans import Spans

_log = get_logger("triton.tracing")


class _Switch:
    spans: Spans | None = None


def enable(provider: TracerProvider | None = None) -> None:
    """From now on what this process submits, serves and runs is traced, through this tracer provider or the
    one that OpenTelemetry has been given. Raises ConfigurationError where its API is not installed."""
    try:
        from triton.observe.spans import Spans
    except ImportError as error:
        raise ConfigurationError(
            f"tracing needs OpenTelemetry, which is not installed ({error}): "
            "pip install 'triton-jobs[otel]'"
        ) from error
    _Switch.spans = Spans(provider)


def disable() -> None:
    """No more spans."""
    _Switch.spans = None


def start(role: str, settings: Settings) -> None:
    """Trace this role's process, where the environment asks for it."""
    if not tracing_wanted():
        return
    try:
        from triton.observe.exporting import install
    except ImportError as error:
        _log.warning(
            "tracing_not_installed", missing=str(error), advice="pip install 'triton-jobs[otel]'"
        )
        return
    if install(role, settings):
        enable()


def flush() -> None:
    """Send what was not sent yet; for processes that end without saying so."""
    if _Switch.spans is not None:
        _Switch.spans.flush()


def active() -> Spans | None:
    """What makes spans; None where this process does not trace."""
    return _Switch.spans


def trace_id() -> str:
    """Of the span that the calling code runs in, as 32 hex digits; empty for none."""
    return "" if _Switch.spans is None else _Switch.spans.trace_id()


def traceparent() -> str:
    """W3C's traceparent of the span that the calling code runs in; empty for none."""
    return "" if _Switch.spans is None else _Switch.spans.traceparent()


def submitting(
    actor: str, queue: str, *, traceparent: str = "", jobs: int = 1
) -> AbstractContextManager[str]:
    """Around a submission: gives the traceparent that its jobs get, which is the given one where this process
    does not trace."""
    if _Switch.spans is None:
        return nullcontext(traceparent)
    return _Switch.spans.submitting(actor, queue, traceparent=traceparent, jobs=jobs)
