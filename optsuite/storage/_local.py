"""Local files: whole or absent, and on the disk once they are said to be written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optsuite.storage._owner import owned_name

# File systems without hard links answer with one of these.
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}

# Other processes may delete a folder that is empty, just after it was made.
_TRIES = 10


def read_local(path: Path, most: int) -> bytes:
    """Read a file, of a larger one only one byte more than `most`."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # opening a pipe may wait for ever
        raise OSError(errno.EINVAL, "it is no regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, most) + 1)
        if size < len(content) <= most:  # it grows, or does not tell its size
            content += file.read(most + 1 - len(content))
    return content


def list_local(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the kind of each entry of a folder by name; a missing folder has none."""
    try:
        with os.scandir(folder) as entries:
            # Files that others delete meanwhile are no error, so nothing more is asked of them.
            return {entry.name: {"type": "directory" if _is_folder(entry) else "file"} for entry in entries}
    except FileNotFoundError:
        return {}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; a link that leads nowhere, or where one may not look, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def replace_local(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it."""
    with _temporary(path, content, durable=True) as temporary:
        temporary.replace(path)
        _sync_folder(path.parent)


def create_local(path: Path, content: bytes, *, durable: bool) -> bool:
    """Write a file that is not there; return False where there is one."""
    with _temporary(path, content, durable=durable) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            # Network file systems may make the link and lose the answer.
            return path.is_file() and path.samefile(temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_without_links(path, content, durable=durable)
        if durable:
            with suppress(OSError):  # it is there; trying again would find it so
                _sync_folder(path.parent)
        return True


def _create_without_links(path: Path, content: bytes, *, durable: bool) -> bool:
    try:
        _write(path, content, durable=durable)
    except FileExistsError:
        return False
    return True


@contextmanager
def _temporary(path: Path, content: bytes, *, durable: bool) -> Iterator[Path]:
    """Write to a new file in the same folder, which is made where it is missing, and remove it afterwards.

    Its name is hidden, so that no listing takes it for a result, short, so that any name that the file may
    have leaves room for it, and tells its owner, so that it is swept after him.
    """
    temporary = path.with_name(owned_name("tmp", ".tmp"))
    try:
        _write_into_folder(temporary, content, durable=durable)
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_into_folder(path: Path, content: bytes, *, durable: bool) -> None:
    for _ in range(_TRIES):
        try:
            _write(path, content, durable=durable)
        except FileNotFoundError:
            _make_folder(path.parent, durable=durable)
        else:
            return
    _write(path, content, durable=durable)


def _write(path: Path, content: bytes, *, durable: bool) -> None:
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _make_folder(folder: Path, *, durable: bool) -> None:
    made = []
    for parent in (folder, *folder.parents):
        if parent.exists():
            break
        made.append(parent)
    folder.mkdir(parents=True, exist_ok=True)
    if durable:
        for parent in made:
            _sync_folder(parent.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power, where the file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder in which one may write but not look
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS}:
            raise
    finally:
        os.close(handle)
