"""Files at any URL, safe to write and to read; listings; globs over names.

No other room opens a URL: a local path or anything that fsspec knows (`s3://`, `gs://`, `memory://`, ...).
Whatever fsspec raises leaves this room as a `StorageError` that names the URL, after what time may heal was
tried again for a while. A reader sees the old file or the new one, never a part of it. Names that begin with
a dot are this package's own, and no listing shows them.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from fsspec.implementations.local import LocalFileSystem

from optsuite.errors import StorageError
from optsuite.storage import _remote
from optsuite.storage._errors import CorruptFileError
from optsuite.storage._filesystems import is_chained, is_local, join_url, local_path, opened
from optsuite.storage._local import create_local, list_local, read_local, replace_local
from optsuite.storage._patience import ask, patiently

THREADS = 32
"""Number of files read at a time, the same as the original's: reading from an object store is waiting."""

MOST_BYTES = 2**26
"""Largest size, in bytes, of a file that is read unless more is asked for: 64 MiB."""

# Bytes that are no text, in names of local files, which nothing could print.
_HALVES = re.compile("[\ud800-\udfff]")

_S = TypeVar("_S")
_T = TypeVar("_T")


def read_bytes(url: str, *, missing: str = "there is no such file", most: int = MOST_BYTES) -> bytes:
    """Read a whole file.

    Args:
        url: The file.
        missing: End of the error's message where there is no such file.
        most: Largest size, in bytes, of a file that is read; no more are fetched.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is larger than `most`.
        UnreachableError: The storage could not be reached for half a minute or more.
        StorageError: The storage refuses.
    """

    def read(seconds: float) -> bytes:
        if is_local(url):
            return read_local(local_path(url), most)
        return _remote.read(*opened(url), most, seconds)

    content = patiently("read", url, read, missing=missing)
    if len(content) > most:
        raise CorruptFileError(f"`{url}` is too large: needed at most {most:,} bytes, and it has more")
    return content


def write_bytes(url: str, content: bytes) -> None:
    """Write a whole file atomically, with the folders that it needs, and make sure that it is stored.

    On a local file system: a temporary name in the same folder, then a rename, both synchronised with the
    disk. Elsewhere: one put, whose checksum is compared.

    Raises:
        UnreachableError: It could not be written for a minute and a half, and more where it is large.
        StorageError: It cannot be written.
    """

    def write(seconds: float) -> None:
        if is_local(url):
            replace_local(local_path(url), content)
        else:
            _remote.write(*opened(url), content, seconds)

    _check_file(url)
    patiently("write", url, write, num_bytes=len(content))


def create(url: str, content: bytes, *, durable: bool = True) -> bool:
    """Create a file with its whole content, unless there is one; of several at a time, one succeeds.

    Args:
        url: The file; the folders that it needs are made.
        content: Its content, which should tell who wrote it: where an answer of the store was lost, the file
            that is there is taken for that of this call if it has the same content.
        durable: Whether it must survive a loss of power.

    Returns:
        Whether it was created; False where there is one already.

    Raises:
        UnreachableError: The storage could not be reached for a minute and a half.
        StorageError: It cannot be written, or this kind of storage cannot create files so.
    """

    def write(seconds: float) -> bool:
        if is_local(url):
            return create_local(local_path(url), content, durable=durable)
        return _remote.create(*opened(url), content, seconds)

    _check_file(url)
    return patiently("create", url, write, num_bytes=len(content))


def _check_file(url: str) -> None:
    """Raise StorageError for a URL below which, or at which, no file can be written."""
    if is_chained(url):
        raise StorageError(f"cannot write `{url}`: `::` would chain it to another URL")
    if url.endswith("/") or "\0" in url:
        raise StorageError(f"cannot write `{url}`: needed the name of a file")


def list_files(dir_url: str, suffix: str) -> list[str]:
    """Return the sorted URLs of a folder's files whose names end in `suffix`, by one listing.

    Args:
        dir_url: The folder; a missing one has no files.
        suffix: Ending of the names with its dot, e.g. `.curves`.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return [join_url(dir_url, entry) for entry in _listing(dir_url) if entry.endswith(suffix)]


def list_folders(dir_url: str) -> list[str]:
    """Return the sorted names of the folders in a folder, by one listing; a missing folder holds none.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return [name for name, kind in _listing(dir_url).items() if kind == "directory"]


def listing(dir_url: str) -> dict[str, dict[str, Any]]:
    """Return what the storage tells of each entry of a folder by name, sorted; hidden ones too."""

    def list_all(seconds: float) -> dict[str, dict[str, Any]]:
        if is_local(dir_url):
            return list_local(local_path(dir_url))
        return _remote.list_entries(*opened(dir_url), seconds)

    named = patiently("list", dir_url, list_all)
    return {name: named[name] for name in sorted(named) if not _HALVES.search(name)}


def _listing(dir_url: str) -> dict[str, str]:
    """Return the kind of each entry that is not hidden (`file`, `directory`, ...) by name, sorted by name."""
    return {name: entry["type"] for name, entry in listing(dir_url).items() if not name.startswith(".")}


def is_glob(name: str) -> bool:
    """Return whether a name is a pattern that stands for others."""
    return any(mark in name for mark in "*?[")


def expand_globs(patterns: str | Sequence[str], list_names: Callable[[], list[str]]) -> list[str]:
    """Replace globs by the names that they match; plain names stay, and so do globs that match nothing.

    Args:
        patterns: One or more names or globs.
        list_names: Gives the names there are; called once, and only if there is a glob.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    globs = {pattern for pattern in patterns if is_glob(pattern)}
    known = list_names() if globs else []
    matched = {glob: fnmatch.filter(known, glob) for glob in globs}
    return list(dict.fromkeys(name for pattern in patterns for name in matched.get(pattern) or [pattern]))


def thread_map(fn: Callable[[_S], _T], items: Iterable[_S], threads: int = THREADS) -> list[_T]:
    """Apply a function that waits for storage to many items at a time, and keep their order.

    Args:
        fn: Function of one item.
        items: Arguments of the calls.
        threads: Number of calls at a time; 0: one after the other, in this thread.
    """
    if threads <= 0:
        return [fn(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(fn, items))


def remove(url: str, *, missing_ok: bool = False) -> None:
    """Delete one file.

    Args:
        url: The file.
        missing_ok: Count a file that is gone already as deleted.

    Raises:
        MissingFileError: There is no such file (object stores may not say so).
        StorageError: It cannot be deleted.
    """

    def delete(seconds: float) -> None:
        filesystem, path = opened(url)
        try:
            if is_local(url):
                Path(path).unlink()
            else:
                ask(filesystem, "rm_file", path, seconds=seconds)  # `rm` would expand `*` and `[` in a name
        except FileNotFoundError:
            if not missing_ok:
                raise

    patiently("delete", url, delete)


def set_aside(url: str) -> str:
    """Rename a file to `<url>.bad`, so that no reader finds it, and return the new URL.

    Raises:
        StorageError: It cannot be renamed.
    """

    def rename(seconds: float) -> None:
        filesystem, path = opened(url)
        if is_local(url):
            Path(path).replace(f"{path}.bad")
        else:
            ask(filesystem, "cp_file", path, f"{path}.bad", seconds=seconds)
            ask(filesystem, "rm_file", path, seconds=seconds)

    patiently("set aside", url, rename)
    return f"{url}.bad"


def exists(url: str) -> bool:
    """Return whether there is such a file.

    Raises:
        StorageError: The storage cannot be reached.
    """

    def look(seconds: float) -> bool:
        filesystem, path = opened(url)
        filesystem.invalidate_cache(path)
        return bool(ask(filesystem, "exists", path, seconds=seconds))

    return patiently("look for", url, look)


def is_same_file(url: str, other: str) -> bool:
    """Return whether two URLs lead to the same file, through links too where it is local.

    Raises:
        StorageError: A URL cannot be opened.
    """
    (filesystem, path), (other_filesystem, other_path) = opened(url), opened(other)
    if isinstance(filesystem, LocalFileSystem) and isinstance(other_filesystem, LocalFileSystem):
        return Path(path).resolve() == Path(other_path).resolve()
    return bool(filesystem == other_filesystem and path == other_path)
