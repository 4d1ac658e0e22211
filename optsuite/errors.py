"""Every error that optsuite raises on purpose.

OptsuiteError
├── UnknownNameError   a task, hparam set, optimizer, dataset or split that does not exist
├── HParamError        a hyperparameter that is unknown, of the wrong type or out of range
├── DataError          a dataset that is missing, truncated or not in its published format
├── StorageError       a file that cannot be written, read or understood
├── OutOfMemoryError   one trial alone needs more memory than the device has
├── RemoteError        what went wrong in another process, or with a cluster
└── UnsupportedError   what cannot be done here, or what learned_optimization has and optsuite has not

A trial that diverges is a result, not an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "DataError",
    "HParamError",
    "OptsuiteError",
    "OutOfMemoryError",
    "RemoteError",
    "StorageError",
    "UnknownNameError",
    "UnsupportedError",
]


def in_words(error: BaseException) -> str:
    """Type and first line of an error of someone else's.

    >>> in_words(ValueError("no"))
    'ValueError: no'
    """
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


class OptsuiteError(Exception):
    """Base of all errors that optsuite raises on purpose."""


def hint(name: str, valid: Iterable[str]) -> str:
    """Which names come closest to one that is not valid, else some that are.

    >>> hint("Adm", ["Adam", "SGD"])
    'did you mean Adam'
    """
    valid = sorted(valid)
    by_folded = {v.casefold(): v for v in valid}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    listed = [by_folded[n] for n in near] or valid[:8]
    more = ", ..." if not near and len(valid) > len(listed) else ""
    return f"{'did you mean' if near else 'valid names are'} {', '.join(listed)}{more}"


class UnknownNameError(OptsuiteError, LookupError):
    """A name that is not in its table; says which names come closest."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        """Compose the message.

        Args:
            kind: What the name should have named, e.g. `"task"`.
            name: The name as the caller gave it.
            valid: Every name that would have been accepted.
        """
        valid = sorted(valid)
        self._made_of = (kind, name, valid)
        super().__init__(f"unknown {kind} `{name}`: {hint(name, valid)}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        return type(self), self._made_of  # so that it crosses process boundaries


class HParamError(OptsuiteError, ValueError):
    """A hyperparameter that is unknown, of the wrong type or out of range."""


class DataError(OptsuiteError):
    """A dataset that is missing, truncated or not in its published format."""


class StorageError(OptsuiteError):
    """A file of curves or an archive that cannot be written, read or understood."""


class OutOfMemoryError(OptsuiteError, MemoryError):
    """One trial alone needs more memory than the device has."""

    def __reduce__(self) -> tuple[type[OutOfMemoryError], tuple[Any, ...]]:
        # Importing distributed changes how exceptions are pickled, to a way that fails for memory errors.
        return type(self), self.args


class RemoteError(OptsuiteError):
    """What went wrong in another process, which it names, or with a cluster."""


class UnsupportedError(OptsuiteError):
    """What cannot be done here, or what learned_optimization has and optsuite has not; says what."""
