"""Owns `python -m triton.health`: whether the roles that run here go on. For probes: it is quick and small.

Exit status 0 yes, 1 no, 2 wrong usage or setting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from triton.errors import ConfigurationError
from triton.observe.signs import Sign, found
from triton.settings import load

#: Seconds without a sign after which a process stands still.
STILL: Final = 30.0
#: Seconds in which a part got nowhere after which something that it needs is away for long.
NOWHERE: Final = 60.0


def complaints(signs: list[Sign], *, alive: bool) -> Iterator[str]:
    """What is wrong; with `alive` only what ending the process would mend."""
    if not signs:
        yield "no role of Triton runs here"
    for sign in signs:
        who = f"{sign.role} (pid {sign.pid})"
        if sign.beat > STILL:
            yield f"{who} stands still for {sign.beat:.0f} s"
        elif not alive:
            for name, seconds in sign.parts.items():
                if seconds is None:
                    yield f"{who}: {name} got nowhere yet; its log says why"
                elif seconds > NOWHERE:
                    yield f"{who}: {name} got nowhere for {seconds:.0f} s; its log says why"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m triton.health",
        description="Exit 0 where every role that runs here goes on; TRITON_HEALTH is where they say so.",
    )
    parser.add_argument(
        "--alive",
        action="store_true",
        help="ask only whether it is worth while to go on: engines that are away are no reason to end",
    )
    chosen = parser.parse_args(arguments)
    try:
        folder = load().health
        if not folder:
            raise ConfigurationError(
                "TRITON_HEALTH is empty: roles leave no sign of life; name a folder"
            )
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    signs = found(folder)
    wrong = list(complaints(signs, alive=chosen.alive))
    well = f"well: {', '.join(f'{one.role} (pid {one.pid})' for one in signs)}"
    sys.stdout.write(("; ".join(wrong) or well) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
