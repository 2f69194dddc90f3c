"""Owns ctrl-C and SIGTERM of the commands that run a stack: asked once, the stack ends in order."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """A context manager for the main thread. An ignored SIGHUP stays ignored (nohup); an ignored SIGINT
    does not, because a shell ignores it for every command that it starts in the background.

    While `raising`, the first signal raises KeyboardInterrupt where the program is; afterwards it only
    sets `asked`. Later signals do nothing: the end has its own limit of time.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.raising = True
        #: The signal that asked first; 0 for none.
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _NUMBERS:
            before = signal.getsignal(number)
            if not (number == signal.SIGHUP and before is signal.SIG_IGN):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.number:
            return
        self.number = number
        self.asked.set()
        if self.raising:
            raise KeyboardInterrupt
