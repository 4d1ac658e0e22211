"""Files at any URL, safe to write and to read; listings; globs over names.

No other room opens a URL: a local path or anything that fsspec knows (`s3://`, `gs://`, `memory://`, ...).
Whatever fsspec raises leaves this room as a `StorageError` that names the URL. A reader sees the old file or
the new one, never a part of it.
"""

import fnmatch
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from optsuite.errors import StorageError, parameter

# The extra of this package that serves each protocol.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}

THREADS = 32
"""Number of files read at a time, the same as the original's: reading from an object store is waiting."""

_S = TypeVar("_S")
_T = TypeVar("_T")


class CorruptFileError(StorageError):
    """A file was fetched but is damaged or of another kind; running again replaces it."""


class MissingFileError(StorageError):
    """A file is not there, or not any more."""


def join_url(base: str, *names: str) -> str:
    """Append folder and file names to a path or URL."""
    return "/".join([base.removesuffix("/"), *names])


def read_bytes(url: str, *, missing: str = "there is no such file", most: int | None = None) -> bytes:
    """Read a whole file.

    Args:
        url: The file.
        missing: End of the error's message where there is no such file.
        most: Largest size, in bytes, of a file that is read; no more are fetched. None for any size.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is larger than `most`.
        StorageError: The storage cannot be reached.
    """
    filesystem, path = _filesystem(url)
    part = {} if most is None else {"start": 0, "end": most + 1}
    with _explained("read", url, missing):
        content: bytes = filesystem.cat_file(path, **part)
    if most is not None and len(content) > most:
        raise CorruptFileError(f"`{url}` is too large: needed at most {most:,} bytes, and it has more")
    return content


def write_bytes(url: str, content: bytes) -> None:
    """Write a whole file atomically, with the folders that it needs.

    On a local file system: a temporary name in the same folder, then a rename. Elsewhere: one put.

    Raises:
        StorageError: It cannot be written.
    """
    filesystem, path = _filesystem(url)
    with _explained("write", url):
        if isinstance(filesystem, LocalFileSystem):
            _replace_local(Path(path), content)
            return
        try:
            filesystem.pipe_file(path, content)
        except FileNotFoundError:
            if get_protocol(url) in _EXTRAS:  # a missing bucket: not ours to create by a typo
                raise
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            filesystem.pipe_file(path, content)


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

    def is_folder(name: str, kind: str) -> bool:
        if kind in ("directory", "file"):
            return kind == "directory"
        # A local link may lead to a folder, to a file or nowhere.
        filesystem, path = _filesystem(join_url(dir_url, name))
        return bool(filesystem.isdir(path))

    return [name for name, kind in _listing(dir_url).items() if is_folder(name, kind)]


def _listing(dir_url: str) -> dict[str, str]:
    """Return the kind of each entry (`file`, `directory`, ...) by name, sorted by name."""
    filesystem, path = _filesystem(dir_url)
    with _explained("list", dir_url):
        filesystem.invalidate_cache(path)  # other runners write too: the store is the truth
        try:
            entries = filesystem.ls(path, detail=True)
        except FileNotFoundError:
            return {}
    named = {entry["name"].rstrip("/").rpartition("/")[2]: entry["type"] for entry in entries}
    return dict(sorted(named.items()))


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
    filesystem, path = _filesystem(url)
    with _explained("delete", url):
        try:
            filesystem.rm_file(path)  # not `rm`, which would expand `*` and `[` in a name
        except FileNotFoundError:
            if not missing_ok:
                raise


def set_aside(url: str) -> str:
    """Rename a file to `<url>.bad`, so that no reader finds it, and return the new URL.

    Raises:
        StorageError: It cannot be renamed.
    """
    filesystem, path = _filesystem(url)
    with _explained("set aside", url):
        if isinstance(filesystem, LocalFileSystem):
            Path(path).replace(f"{path}.bad")
        else:
            filesystem.cp_file(path, f"{path}.bad")
            filesystem.rm_file(path)
    return f"{url}.bad"


def exists(url: str) -> bool:
    """Return whether there is such a file.

    Raises:
        StorageError: The storage cannot be reached.
    """
    filesystem, path = _filesystem(url)
    filesystem.invalidate_cache()
    with _explained("look for", url):
        return bool(filesystem.exists(path))


def is_same_file(url: str, other: str) -> bool:
    """Return whether two URLs lead to the same file, through links too where it is local.

    Raises:
        StorageError: A URL cannot be opened.
    """
    (filesystem, path), (other_filesystem, other_path) = _filesystem(url), _filesystem(other)
    if isinstance(filesystem, LocalFileSystem) and isinstance(other_filesystem, LocalFileSystem):
        return Path(path).resolve() == Path(other_path).resolve()
    return bool(filesystem == other_filesystem and path == other_path)


def check_writable(root_url: str) -> None:
    """Write and delete a small file under `root_url`, to fail before training rather than after.

    Raises:
        StorageError: It cannot be written to; the message says how to choose another place.
    """
    root = clean_root(root_url)
    probe = join_url(root, f".optsuite_probe_{os.getpid()}_{secrets.token_hex(8)}")
    _filesystem(root)  # a missing package or an unknown protocol has its own advice
    try:
        write_bytes(probe, b"probe")
        remove(probe)
    except StorageError as cause:
        raise StorageError(
            f"cannot write to `{root_url}` ({cause}); choose another place: for curves with "
            f"`{parameter('storage')}` or LOPT_BASELINE_DIR, for archives with `{parameter('archives')}` or "
            "LOPT_BASELINE_ARCHIVES_DIR"
        ) from cause


def clean_root(root: str) -> str:
    """Expand `~` and drop trailing slashes, but not those of `memory://` and `/`."""
    match = re.match(r"(?:[\w.+-]+://)?/*", root)
    head = match.group() if match else ""
    return os.path.expanduser(head + root[len(head) :].rstrip("/"))  # noqa: PTH111 (may be a URL)


def _filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system that serves a URL, and the path inside it."""
    protocol = get_protocol(url)
    try:
        filesystem, path = url_to_fs(url)
    except ImportError as cause:
        extra = _EXTRAS.get(protocol)
        advice = f"pip install 'optsuite[{extra}]'" if extra else str(cause)
        raise StorageError(f"`{url}` needs a package that is not installed: {advice}") from cause
    except Exception as cause:
        raise StorageError(
            f"cannot open `{url}` ({cause}): needed a local path or a URL that fsspec knows, "
            "such as s3://bucket/folder or gs://bucket/folder"
        ) from cause
    return filesystem, path


@contextmanager
def _explained(verb: str, url: str, missing: str = "no such file or folder") -> Iterator[None]:
    """Turn whatever a file system raises (often no OSError) into an error that names the URL."""
    try:
        yield
    except FileNotFoundError as cause:
        raise MissingFileError(f"cannot {verb} `{url}`: {missing}") from cause
    except Exception as cause:
        raise StorageError(f"cannot {verb} `{url}`: {type(cause).__name__}: {cause}") from cause


def _replace_local(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is hidden and ends in `.tmp`, so that no listing takes it for a result, and is unique among
    # the hosts that share a network file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}_{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
