"""Owners: the process that a temporary file, a mark or a lease belongs to, and whether it has ended."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from optsuite.storage._errors import CorruptFileError

# The same process is read as begun at times that differ by less, in seconds.
_SAME_START_S = 2.0
_NAME = re.compile(
    r"\.optsuite_(?P<kind>[a-z]+)_(?P<host>[\w-]+)_(?P<pid>\d+)_(?P<started>\d+)_[0-9a-f]{16}\b.*"
)


class Owner(NamedTuple):
    """A process, told apart from all others on any machine.

    `host` names the machine since its last start, and the container; `started` is when the process began, in
    seconds since that start, which a clock that is set does not change.
    """

    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> Owner:
        """Return this process."""
        return _owner(os.getpid())

    def is_surely_dead(self) -> bool:
        """Return whether the process ran on this machine and has ended; no other is known."""
        if self.host != _host():
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:  # it has ended, and its parent has not looked
                return True
            return abs(_started(process) - self.started) > _SAME_START_S
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False

    def to_json(self) -> dict[str, Any]:
        """Return a value that JSON can hold."""
        return self._asdict()

    @classmethod
    def from_json(cls, value: Any, what: str) -> Owner:  # noqa: ANN401 - any JSON
        """Return the owner that `to_json` told.

        Args:
            value: JSON that was parsed.
            what: Name of its file, for the error.

        Raises:
            CorruptFileError: It tells no owner.
        """
        match value:
            case {"host": str(host), "pid": int(pid), "started": float(started) | int(started)} if (
                re.fullmatch(r"[\w-]{1,100}", host) and 0 < pid < 2**31 and 0 <= started < 1e12
            ):
                return cls(host, pid, float(started))
        raise CorruptFileError(
            f"`{what}` tells no owner: needed host, pid and started, got {str(value)[:200]}"
        )


def owned_name(kind: str, ending: str = "") -> str:
    """Return a new hidden name of a file that goes with this process; `sweep_temporaries` knows it.

    Args:
        kind: Lower-case letters, e.g. `tmp`.
        ending: Suffix with its dot.
    """
    owner = Owner.here()
    return (
        f".optsuite_{kind}_{owner.host}_{owner.pid}_{owner.started * 100:.0f}_{secrets.token_hex(8)}{ending}"
    )


def owner_of(name: str) -> tuple[str, Owner] | None:
    """Return the kind and the owner that `owned_name` put into a name; None for other names."""
    match = _NAME.fullmatch(name)
    if not match or len(name) > 255:
        return None
    return match["kind"], Owner(match["host"], int(match["pid"]), int(match["started"]) / 100)


@lru_cache(maxsize=1)
def _host() -> str:
    """Return the name of this machine, with a hash of its start and of the namespace of process ids."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    start = boot.read_text() if boot.exists() else f"{psutil.boot_time():.0f}"
    ids = str(namespace.readlink()) if namespace.is_symlink() else ""
    token = hashlib.sha256(f"{platform.node()}\n{start}\n{ids}".encode()).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9-]', '-', platform.node())[:40]}-{token}"


@lru_cache(maxsize=1)
def _owner(pid: int) -> Owner:
    return Owner(_host(), pid, _started(psutil.Process(pid)))


def _started(process: psutil.Process) -> float:
    return round(process.create_time() - psutil.boot_time(), 2)
