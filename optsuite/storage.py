"""Where curves and archives lie, and npz files that are safe to write and to read.

The only file that opens a URL: a local path or anything that fsspec knows (`s3://`, `gs://`,
`memory://`, ...). What a back end raises leaves this file as a `StorageError` that names the URL.
A reader sees the old file or the new one, never a part of it, and never unpickles.
"""

from __future__ import annotations

import fnmatch
import io
import os
import re
import secrets
import threading
import zipfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from optsuite.errors import StorageError, parameter

if TYPE_CHECKING:
    import numpy.typing as npt

    from optsuite._types import Array

__all__ = [
    "THREADS",
    "CorruptFileError",
    "MissingFileError",
    "archive_path",
    "archives_dir",
    "baseline_dir",
    "check_writable",
    "clean_root",
    "curve_dir",
    "exists",
    "expand_globs",
    "is_glob",
    "join_url",
    "list_files",
    "list_folders",
    "read_bytes",
    "read_npz",
    "remove",
    "set_aside",
    "thread_map",
    "write_bytes",
    "write_npz",
]

# Protocol: our extra that serves it.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}

THREADS = 32
"""Files read at a time, as many as the original does: reading is waiting, on an object store."""

# numpy reads a header through Python's own parser, which before Python 3.11.8 counts its depth for all
# threads at once: two at a time fail now and then (cpython issue 106905).
_ONE_PARSER = threading.Lock()

_S = TypeVar("_S")
_T = TypeVar("_T")


class CorruptFileError(StorageError):
    """A file that was fetched but is damaged or of another kind; running again replaces it."""


class MissingFileError(StorageError):
    """A file that is not there (any more)."""


def baseline_dir() -> str:
    """Root of the curves: `LOPT_BASELINE_DIR`, else `~/lopt_baselines`; no trailing slash."""
    return clean_root(os.environ.get("LOPT_BASELINE_DIR") or "~/lopt_baselines")


def archives_dir() -> str:
    """Root of the archives: `LOPT_BASELINE_ARCHIVES_DIR`, else `~/lopt_baselines_archives`."""
    return clean_root(os.environ.get("LOPT_BASELINE_ARCHIVES_DIR") or "~/lopt_baselines_archives")


def curve_dir(
    task_name: str,
    opt_name: str,
    num_steps: int,
    eval_every: int,
    eval_batches: int,
    last_eval_batches: int,
    root: str | None = None,
) -> str:
    """Folder of the curves of one task, config and schedule.

    Args:
        task_name: Name of the task.
        opt_name: Label of the config, e.g. `Adam_lr0.001`.
        num_steps: Training steps.
        eval_every: Steps between evaluations.
        eval_batches: Batches per evaluation.
        last_eval_batches: Batches of the last evaluation.
        root: Root of the curves; `baseline_dir()` if `None`.

    Raises:
        StorageError: A name cannot be a folder.
    """
    schedule = f"{num_steps}_{eval_every}_{eval_batches}_{last_eval_batches}"
    root = baseline_dir() if root is None else clean_root(root)
    return join_url(root, _checked_name(task_name), _checked_name(opt_name), schedule)


def archive_path(task_name: str, hparam_set_name: str, root: str | None = None) -> str:
    """URL of the archive of one cell.

    Args:
        task_name: Name of the task.
        hparam_set_name: Name of the hparam set.
        root: Root of the archives; `archives_dir()` if `None`.

    Raises:
        StorageError: A name cannot be a folder or file.
    """
    root = archives_dir() if root is None else clean_root(root)
    return join_url(root, _checked_name(task_name), f"{_checked_name(hparam_set_name)}.npz")


def join_url(base: str, *names: str) -> str:
    """Append folder and file names to a path or URL."""
    return "/".join([base.removesuffix("/"), *names])


def write_npz(url: str, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write a compressed npz, atomically, with the folders that it needs.

    On a local file system: a temporary name in the same folder, then a rename. Elsewhere: one put.

    Args:
        url: Where to write; a file that is there is replaced.
        arrays: At least one; each is passed through `np.asarray`.

    Raises:
        StorageError: No arrays, Python objects (npz would pickle them), or a failing write.
    """
    if not arrays:
        raise StorageError(f"cannot write `{url}`: an npz needs at least one array")
    buffer = io.BytesIO()
    # As np.savez_compressed does, but without its reserved keys (`file`, `allow_pickle`).
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in arrays.items():
            array = _plain_array(key, value, url)
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    write_bytes(url, buffer.getvalue())


def read_npz(url: str, keys: Container[str] | None = None) -> dict[str, Array]:
    """Read the arrays of an npz; never unpickles.

    Args:
        url: A file written by `write_npz` or by numpy's `savez` and `savez_compressed`.
        keys: Only these are decompressed, which saves time; those that the file lacks are left out. `None`:
            all.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is truncated, damaged, pickled or no npz at all.
        StorageError: The storage cannot be reached.
    """
    content = read_bytes(url, missing="there is no such file; run its trial again")
    try:
        return _parse_npz(content, keys)
    except Exception as cause:  # damage can surface anywhere: zip, zlib, header, dtype, memory
        raise CorruptFileError(
            f"`{url}` is not a readable npz file ({type(cause).__name__}: {cause}): "
            "delete it or run its trial again"
        ) from cause


def read_bytes(url: str, *, missing: str = "there is no such file") -> bytes:
    """Read a whole file.

    Args:
        url: The file.
        missing: What the error says if it is not there.

    Raises:
        MissingFileError: There is no such file.
        StorageError: The storage cannot be reached.
    """
    filesystem, path = _filesystem(url)
    with _explained("read", url, missing):
        content: bytes = filesystem.cat_file(path)
    return content


def write_bytes(url: str, content: bytes) -> None:
    """Write a whole file as `write_npz` does: atomically, with the folders that it needs.

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
    """URLs of the files of one folder whose name ends in `suffix`, sorted, by one listing.

    Args:
        dir_url: The folder; a missing one has no files.
        suffix: With its dot, e.g. `.curves`.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return [join_url(dir_url, entry) for entry in _listing(dir_url) if entry.endswith(suffix)]


def list_folders(dir_url: str) -> list[str]:
    """Names of the folders in a folder, sorted, by one listing; a missing folder holds none.

    Raises:
        StorageError: The storage cannot be reached.
    """

    def is_folder(name: str, kind: str) -> bool:
        if kind in ("directory", "file"):
            return kind == "directory"
        # A local link: to a folder, a file or nothing.
        filesystem, path = _filesystem(join_url(dir_url, name))
        return bool(filesystem.isdir(path))

    return [name for name, kind in _listing(dir_url).items() if is_folder(name, kind)]


def _listing(dir_url: str) -> dict[str, str]:
    """Kind of entry (`file`, `directory`, ...) by name, sorted by name."""
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
    """Whether a name stands for others."""
    return any(mark in name for mark in "*?[")


def expand_globs(patterns: str | Sequence[str], list_names: Callable[[], list[str]]) -> list[str]:
    """Replace globs by the names that they match; a name that is no glob stays, and so does an idle glob.

    Args:
        patterns: One or more names or globs.
        list_names: Called once, if there is a glob.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    globs = {pattern for pattern in patterns if is_glob(pattern)}
    known = list_names() if globs else []
    matched = {glob: fnmatch.filter(known, glob) for glob in globs}
    return list(dict.fromkeys(name for pattern in patterns for name in matched.get(pattern) or [pattern]))


def thread_map(fn: Callable[[_S], _T], items: Iterable[_S], threads: int = THREADS) -> list[_T]:
    """Apply a function that waits for storage to many items at a time, and keep their order.

    Args:
        fn: The function.
        items: Its arguments.
        threads: Calls at a time; 0: one after the other, in this thread.
    """
    if threads <= 0:
        return [fn(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(fn, items))


def remove(url: str, *, missing_ok: bool = False) -> None:
    """Delete one file.

    Args:
        url: The file.
        missing_ok: Take a file that is gone already for success.

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
    """Whether there is such a file.

    Raises:
        StorageError: The storage does not say.
    """
    filesystem, path = _filesystem(url)
    filesystem.invalidate_cache()
    with _explained("look for", url):
        return bool(filesystem.exists(path))


def check_writable(root_url: str) -> None:
    """Write and delete a small file under `root_url`, to fail before training rather than after.

    Raises:
        StorageError: That is not possible; says how to choose another place.
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


def _checked_name(name: str) -> str:
    if name in {"", ".", ".."} or any(mark in name for mark in ("/", "\\", "::", "\0")):
        raise StorageError(
            f"`{name}` cannot name a folder: it must not be empty, `.` or `..`, nor hold `/`, `\\` or `::`"
        )
    return name


def _plain_array(key: str, value: npt.ArrayLike, url: str) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as cause:
        raise StorageError(f"cannot write `{key}` to `{url}`: {cause}") from cause
    if array.dtype.hasobject:
        raise StorageError(
            f"cannot write `{key}` to `{url}`: needed numbers or text, got Python objects ({array.dtype})"
        )
    return array


def _parse_npz(content: bytes, keys: Container[str] | None) -> dict[str, Array]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {member.removesuffix(".npy"): member for member in archive.namelist()}
        if not members:
            raise ValueError("it holds no arrays")
        return {
            key: _parse_npy(archive.read(member))  # whole, so that its checksum is verified
            for key, member in members.items()
            if keys is None or key in keys
        }


def _parse_npy(content: bytes) -> Array:
    with _ONE_PARSER:
        array: Array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def _filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system that serves `url`, and the path inside it."""
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
    """Turn whatever a back end raises (many raise no OSError) into an error that names the URL."""
    try:
        yield
    except FileNotFoundError as cause:
        raise MissingFileError(f"cannot {verb} `{url}`: {missing}") from cause
    except Exception as cause:
        raise StorageError(f"cannot {verb} `{url}`: {type(cause).__name__}: {cause}") from cause


def _replace_local(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden and `.tmp`, so that no listing takes it for a result; unique among hosts of one NFS.
    temporary = path.with_name(f".{path.name}.{os.getpid()}_{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
