"""A lock on a file, for processes of one machine, until there are leases."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from filelock import FileLock

from optsuite._places import cache_dir


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Let one process at a time read a file, change it and write it."""
    file = cache_dir() / "locks" / f"{sha256(url.encode(errors='surrogatepass')).hexdigest()[:16]}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file):
        yield
