"""Checks of a folder before it is used: it can be written, and nothing of dead processes is left."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from optsuite.errors import StorageError, parameter
from optsuite.storage._errors import MissingFileError
from optsuite.storage._files import listing, read_bytes, remove, write_bytes
from optsuite.storage._filesystems import clean_root, is_local, join_url, local_path, opened
from optsuite.storage._owner import owned_name, owner_of

_DAY_S = 24 * 3600.0
# Kinds of files that live for moments, whoever wrote them.
_SHORT_LIVED = {"tmp", "probe"}


def check_writable(root_url: str, like: str | None = None) -> None:
    """Prove that results can be written, to fail before training rather than after.

    A small file is written, listed, read back and deleted, and the folders that it needed too.

    Args:
        root_url: Root of the results.
        like: Path below the root of a file that will be written, whose folder and suffix the small file has,
            and whose length where it is long; None: a file in the root.

    Raises:
        StorageError: It cannot be written to; the message says how to choose another place.
    """
    root = clean_root(root_url)
    opened(root)  # a missing package or an unknown protocol has its own advice
    folder, _, name = (like or "").rpartition("/")
    folder_url = join_url(root, folder) if folder else root
    ending = "." + name.rpartition(".")[2] if "." in name else ""
    probe = owned_name("probe")
    padding = "-" * (len(name.encode(errors="surrogatepass")) - len(probe + ending))
    try:
        _try_out(folder_url, probe + padding + ending)
    except StorageError as cause:
        raise StorageError(
            f"cannot write to `{root_url}` ({cause}); choose another place: for curves with "
            f"`{parameter('storage')}` or LOPT_BASELINE_DIR, for archives with `{parameter('archives')}` or "
            "LOPT_BASELINE_ARCHIVES_DIR"
        ) from cause


def check_writable_file(url: str) -> None:
    """Prove that a file can be written, likewise.

    Raises:
        StorageError: It cannot be written.
    """
    name = url.rpartition("/")[2]
    folder_url = clean_root(url.removesuffix(name) or ".")
    try:
        _try_out(folder_url, owned_name("probe", f".{name.rpartition('.')[2]}"))
    except StorageError as cause:
        raise StorageError(f"cannot write `{url}` ({cause}): choose another place") from cause


def _try_out(folder_url: str, name: str) -> None:
    """Write a file into a folder, and raise StorageError unless it is found and read there."""
    url, content = join_url(folder_url, name), name.encode()
    missing = _missing_folders(folder_url)
    try:
        try:
            write_bytes(url, content)
            if name not in listing(folder_url):
                raise StorageError(f"`{url}` was written, but is not listed in its folder")
            if read_bytes(url, most=len(content)) != content:
                raise StorageError(f"`{url}` was written, but holds something else")
        except StorageError:
            with suppress(StorageError):  # it may be there, and the first error is the one to tell
                remove(url)
            raise
        with suppress(MissingFileError):
            remove(url)
    finally:
        for folder in missing:
            with suppress(OSError, ValueError):  # others use it by now, or no folder has such a name
                folder.rmdir()


def _missing_folders(folder_url: str) -> list[Path]:
    """Return the folders that a local folder lacks, the innermost first."""
    if not is_local(folder_url):
        return []
    folder = local_path(folder_url)
    # Unlike Path's method, it says no for what cannot be looked at, which the write then tells.
    return [path for path in (folder, *folder.parents) if not os.path.lexists(path)]


def sweep_temporaries(folder_url: str) -> list[str]:
    """Remove the files that processes which have surely ended left half-written in a folder, or as marks.

    Temporary files of other machines go when they are older than a day.

    Args:
        folder_url: The folder; those in it are not looked at.

    Returns:
        The names of the files that were removed.

    Raises:
        StorageError: The storage cannot be reached.
    """
    swept = []
    for name, entry in listing(folder_url).items():
        if not (owned := owner_of(name)):
            continue
        kind, owner = owned
        if owner.is_surely_dead() or (kind in _SHORT_LIVED and _age(folder_url, name, entry) > _DAY_S):
            remove(join_url(folder_url, name), missing_ok=True)
            swept.append(name)
    return swept


def _age(folder_url: str, name: str, entry: dict[str, object]) -> float:
    """Return the seconds since a file was written, 0 where the storage does not tell."""
    if is_local(folder_url):
        with suppress(FileNotFoundError):
            return time.time() - (local_path(folder_url) / name).stat().st_mtime
    for key in ("LastModified", "mtime", "created"):
        written = entry.get(key)
        written = written.timestamp() if hasattr(written, "timestamp") else written
        if isinstance(written, int | float):
            return time.time() - written
    return 0.0
