"""A lock on a file, for processes of one machine, until there are leases."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from filelock import FileLock

from optsuite._places import cache_dir
from optsuite.errors import StorageError


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Let one process at a time read a file, change it and write it.

    Raises:
        StorageError: The lock cannot be made.
    """
    file = cache_dir() / "locks" / f"{sha256(url.encode(errors='surrogatepass')).hexdigest()[:16]}.lock"
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as cause:
        raise StorageError(f"cannot lock `{url}`: {cause}") from cause
    try:
        yield
    finally:
        lock.release()
