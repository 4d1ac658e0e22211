"""Errors of storage, and the way from whatever a file system raises to one of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from optsuite.errors import StorageError


class CorruptFileError(StorageError):
    """A file was fetched but is damaged or of another kind; running again replaces it."""


class MissingFileError(StorageError):
    """A file is not there, or not any more."""


class UnreachableError(StorageError):
    """A storage that did not do what it was asked for as long as was tried; the file itself may be fine."""


@contextmanager
def explained(verb: str, url: str, missing: str = "no such file or folder") -> Iterator[None]:
    """Turn whatever a file system raises (often no OSError) into an error that names the URL."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as cause:
        raise MissingFileError(f"cannot {verb} `{url}`: {missing}") from cause
    except Exception as cause:
        raise StorageError(f"cannot {verb} `{url}`: {type(cause).__name__}: {cause}") from cause
