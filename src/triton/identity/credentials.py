"""Owns `<data>/credentials.json`: the admin's API key of an embedded stack, for its owner's eyes only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from triton import disk
from triton.errors import ConfigurationError

FILE: Final = "credentials.json"


class Credentials(msgspec.Struct, frozen=True):
    """What the file holds."""

    api_key: str

    def __repr__(self) -> str:
        return "Credentials(...)"


def read(folder: Path) -> Credentials | None:
    """None where there is no file. Raises ConfigurationError for one that cannot be read, or is none."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): run the command as who started the stack, or "
            "give a key with TRITON_API_KEY"
        ) from error
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"{path} is not what `triton up` wrote: remove it and start the stack again, which makes a "
            "new key"
        ) from error


def write(folder: Path, found: Credentials) -> None:
    """Mode 0600, at once."""
    disk.replace(folder / FILE, msgspec.json.encode(found) + b"\n")
