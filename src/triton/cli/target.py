"""Owns finding the stack that a command talks to: by its data folder, by the URLs, or by --url."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from triton import settings
from triton.errors import ConfigurationError, UnavailableError
from triton.identity import credentials
from triton.setting_urls import expected_of
from triton.settings import Settings
from triton.stack.folder import DataFolder, RunningStack, running_stack

if TYPE_CHECKING:
    from triton.client import AsyncClient, Client

#: What a command needs that compares the log with both stores.
LIVE: Final = ("redis_url", "database_url", "clickhouse_url")
_ENGINES = {
    "redis_url": "redis",
    "database_url": "database",
    "clickhouse_url": "clickhouse",
    "archive_url": "archive",
}


def api_url(data: str | None, url: str | None) -> str:
    """Where the API answers: `url`, or that of the stack on a folder that was named; else TRITON_API_URL, the
    stack on the default folder, or what TRITON_HOST and TRITON_PORT say where all engines are outside ones.

    Raises UnavailableError when nothing runs on the folder, ConfigurationError for a `url` that is none.
    """
    if url:
        if expected := expected_of("api_url", url):
            raise ConfigurationError(f"--url is {url!r}: expected {expected}")
        return url.rstrip("/")
    chosen = settings.load(data=data)
    if chosen.api_url and data is None:
        return chosen.api_url.rstrip("/")
    running = running_stack(Path(chosen.data))
    if running is not None and running.api:
        return running.api
    if _all_outside(chosen):
        return f"http://{chosen.host}:{chosen.port}"
    raise _nothing_runs(chosen)


def client(data: str | None, url: str | None) -> Client:
    """A client of that API; a person sees at once that it does not answer. Raises UnavailableError."""
    from triton.client import Client

    found = reach(data, url)
    return Client(found.url, api_key=found.key or None, repeats=0)


def async_client(data: str | None, url: str | None) -> AsyncClient:
    """The same for asyncio."""
    from triton.client import AsyncClient

    found = reach(data, url)
    return AsyncClient(found.url, api_key=found.key or None, repeats=0)


class Reach(NamedTuple):
    """Where an API is, and what lets a command in; no key is sent where it is empty."""

    url: str
    key: str = ""

    def __repr__(self) -> str:
        return f"Reach({self.url})"


def reach(data: str | None, url: str | None) -> Reach:
    """The API as `api_url` finds it, with the key of TRITON_API_KEY or TRITON_API_KEY_FILE; else with that of
    the data folder, which goes to the folder's own stack and to nobody else.

    Raises UnavailableError as `api_url`, ConfigurationError for a file that cannot be read.
    """
    found = api_url(data, url)
    chosen = settings.load(data=data)
    if chosen.api_key or chosen.api_key_file:
        return Reach(found, chosen.api_key or _key_in(Path(chosen.api_key_file)))
    running = running_stack(Path(chosen.data))
    if running is None or running.api != found:
        return Reach(found)
    known = credentials.read(Path(chosen.data))
    return Reach(found, known.api_key if known else "")


def _key_in(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"TRITON_API_KEY_FILE names {file}, which cannot be read "
            f"({getattr(error, 'strerror', None) or 'it is no text'})",
            setting="api_key_file",
        ) from error


def engines(data: str | None, *needed: str) -> Settings:
    """The settings with the URL of every engine: as given, else of the stack on the folder; of a stack that
    is stopped, the archive alone.

    Raises UnavailableError when one of `needed` (`redis_url`, ...) is not given and nothing runs there.
    """
    chosen = settings.load(data=data)
    running = running_stack(Path(chosen.data))
    if running is not None:
        return msgspec.structs.replace(chosen, **_filled(chosen, running))
    archive = DataFolder(Path(chosen.data)).archive.absolute()
    if "archive_url" in needed and not chosen.archive_url and archive.is_dir():
        chosen = msgspec.structs.replace(chosen, archive_url=archive.as_uri())
    if all(getattr(chosen, name) for name in needed):
        return chosen
    raise _nothing_runs(chosen)


def _filled(chosen: Settings, running: RunningStack) -> dict[str, str | int]:
    """What the stack says, besides the URLs that were given: those may lead to another one's engines."""
    urls = {
        name: getattr(chosen, name) or getattr(running, source) for name, source in _ENGINES.items()
    }
    folder = DataFolder(Path(chosen.data))
    urls["subject_keys"] = chosen.subject_keys or folder.subject_keys.as_uri()
    urls["tenant_keys"] = chosen.tenant_keys or folder.tenant_keys.as_uri()
    if chosen.redis_url:
        return urls
    return {**urls, "namespace": running.namespace, "partitions": running.partitions}


def _all_outside(chosen: Settings) -> bool:
    return all(getattr(chosen, name) for name in _ENGINES)


def _nothing_runs(chosen: Settings) -> UnavailableError:
    folder = Path(chosen.data).absolute()
    return UnavailableError(
        f"No Triton stack runs on {folder}: start it with `triton up`, or name another folder with "
        "--data or TRITON_DATA."
    )
