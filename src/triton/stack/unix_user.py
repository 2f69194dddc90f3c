"""Owns the user that PostgreSQL runs as: it refuses root, and a container's only user is often root."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from triton.errors import StartupError
from triton.stack.processes import as_user

#: The user "nobody" everywhere; it owns nothing else and needs no entry in /etc/passwd.
NOBODY = 65534
PROBE = (
    '"$0" --version >/dev/null && for folder; do test -w "$folder" -a -x "$folder" || exit 1; done'
)


class UnixUser(msgspec.Struct, frozen=True):
    """How to run a program: as `uid` (None: as we are), behind the command `prefix`."""

    uid: int | None = None
    prefix: tuple[str, ...] = ()
    #: Who owns the files as we see them.
    owner: int = 0


DROPPED = UnixUser(uid=NOBODY, owner=NOBODY)
#: For trees below a private home, which nobody cannot enter. In a user namespace root's files stay
#: root's and the program believes to be nobody; where namespaces are forbidden (many containers),
#: nobody keeps the one capability that enters private folders.
UNSHARED = UnixUser(
    prefix=("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"), owner=0
)
CAPABLE = UnixUser(
    prefix=(
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    ),
    owner=NOBODY,
)


def choose_user(program: Path, folders: Sequence[Path], parents: Sequence[Path]) -> UnixUser:
    """The first way that can run `program` and write to `folders`, which are given to it.

    `parents` are private folders of ours on the way to `folders`; nobody gets leave to pass
    through them (not to list them) where that suffices. Raises StartupError when no way works.
    """
    if os.geteuid() != 0:
        return _ordinary(program, folders)
    for way in (DROPPED, UNSHARED, CAPABLE):
        try:
            if way is DROPPED:
                for parent in parents:
                    _let_pass(parent)
            for folder in folders:
                _give(folder, way.owner)
        except OSError:  # a file system without owners
            continue
        if _works(way, program, folders):
            return way
    raise StartupError(
        f"PostgreSQL does not run as root, and no other user can reach {program} and {folders[0]}:"
        f" run Triton as an ordinary user, place both outside of private folders,"
        f" or set TRITON_DATABASE_URL to a server of your own"
    )


def _ordinary(program: Path, folders: Sequence[Path]) -> UnixUser:
    uid = os.geteuid()
    for folder in folders:
        if (owner := folder.stat().st_uid) != uid:
            raise StartupError(
                f"{folder} belongs to uid {owner}, but PostgreSQL would run as uid {uid} here:"
                f" start Triton as the user who started it first, or choose another --data"
            )
    try:
        pwd.getpwuid(uid)
    except KeyError:
        # A container's made-up uid: initdb wants to know a name.
        nameless = msgspec.structs.replace(UNSHARED, owner=uid)
        if _works(nameless, program, folders):
            return nameless
    return UnixUser(owner=uid)


def _works(way: UnixUser, program: Path, folders: Sequence[Path]) -> bool:
    """Tries it, rather than reasoning about modes, lists, mounts and what a container forbids."""
    try:
        probe = subprocess.run(
            [*way.prefix, "/bin/sh", "-c", PROBE, str(program), *map(str, folders)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            check=False,
            timeout=20,
            **as_user(way.uid),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return probe.returncode == 0


def _let_pass(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & stat.S_IXOTH:
        os.chown(folder, -1, NOBODY)
        folder.chmod(mode | stat.S_IXGRP)


def _give(folder: Path, owner: int) -> None:
    """Makes `owner` the owner of a tree; quick when it is already."""
    if folder.lstat().st_uid == owner:
        return
    for base, _, files in os.walk(folder):
        for name in files:
            os.chown(Path(base) / name, owner, owner, follow_symlinks=False)
        os.chown(base, owner, owner, follow_symlinks=False)
