"""Owns that Dramatiq's worker log quotes nothing personal: of such a job's error it names the class alone."""

from __future__ import annotations

import logging
from typing import Final, Protocol, runtime_checkable

#: Who says "Failed to process message".
_LOGGER: Final = "dramatiq.worker.WorkerThread"


@runtime_checkable
class _Tells(Protocol):
    """A message that knows whether what its errors say is sealed."""

    @property
    def seals_errors(self) -> bool: ...


def keep_quiet() -> None:
    """From now on in this process. Again is no harm."""
    logging.getLogger(_LOGGER).addFilter(without_errors)


def without_errors(record: logging.LogRecord) -> bool:
    """Lets every record pass; one about a message whose errors are sealed, without the error's words."""
    told = record.args if isinstance(record.args, tuple) else ()
    if record.exc_info and any(isinstance(one, _Tells) and one.seals_errors for one in told):
        kind = record.exc_info[0]
        record.msg = f"{record.msg} %s: [personal]"
        record.args = (*told, kind.__name__ if kind else "It")
        record.exc_info = record.exc_text = None
    return True
