"""Owns the loggers of those modules that run within other people's programs: they say things their way.

Where structlog was configured, by a role of ours or by the application, lines go through it. Where it was
not, they go to the standard library's logger of that name: structlog's own default would print to standard
output, past every level and handler that the application has set.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog

_PLAIN: Final = (
    structlog.stdlib.filter_by_level,
    structlog.processors.format_exc_info,
    structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
)


class Logger:
    """A logger as structlog has them; which one it is is decided when a line is written."""

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self._name = name
        self._values = values
        #: What structlog makes of it, and the configuration for which it did.
        self._bound: Any = None
        self._configured: Any = None

    def bind(self, **values: Any) -> Logger:
        """The same with these values in each line."""
        return Logger(self._name, {**self._values, **values})

    def debug(self, event: str, **values: Any) -> None:
        self._chosen().debug(event, **values)

    def info(self, event: str, **values: Any) -> None:
        self._chosen().info(event, **values)

    def warning(self, event: str, **values: Any) -> None:
        self._chosen().warning(event, **values)

    def error(self, event: str, **values: Any) -> None:
        self._chosen().error(event, **values)

    def critical(self, event: str, **values: Any) -> None:
        self._chosen().critical(event, **values)

    def exception(self, event: str, **values: Any) -> None:
        self._chosen().exception(event, **values)

    def _chosen(self) -> Any:
        if structlog.is_configured():
            configured = structlog.get_config()["processors"]
            if configured is not self._configured:
                self._bound = structlog.get_logger(self._name).bind(**self._values)
                self._configured = configured
            return self._bound
        return structlog.wrap_logger(
            logging.getLogger(self._name),
            processors=_PLAIN,
            wrapper_class=structlog.stdlib.BoundLogger,
            **self._values,
        )


def get_logger(name: str) -> Logger:
    """The logger of a name, such as `triton.worker`. Looks at nothing yet."""
    return Logger(name, {})
