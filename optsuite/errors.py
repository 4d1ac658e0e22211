"""Every error that optsuite raises on purpose.

OptsuiteError
├── UnknownNameError   a task, hparam set, optimizer, dataset or split that does not exist
├── HparamError        a hyperparameter that is unknown, of the wrong type or out of range
├── DataError          a dataset that is missing, truncated or not in its published format
├── StorageError       a file that cannot be written, read or understood
├── OutOfMemoryError   one trial alone needs more memory than the device has
└── UnsupportedError   what learned_optimization has and optsuite has not

A trial that diverges is a result, not an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DataError",
    "HparamError",
    "OptsuiteError",
    "OutOfMemoryError",
    "StorageError",
    "UnknownNameError",
    "UnsupportedError",
]


class OptsuiteError(Exception):
    """Base of all errors that optsuite raises on purpose."""


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
        by_folded = {v.casefold(): v for v in valid}
        near = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
        listed = [by_folded[n] for n in near] or valid[:8]
        more = ", ..." if not near and len(valid) > len(listed) else ""
        hint = "did you mean" if near else "valid names are"
        super().__init__(f"unknown {kind} `{name}`: {hint} {', '.join(listed)}{more}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        return type(self), self._made_of  # so that it crosses process boundaries


class HparamError(OptsuiteError, ValueError):
    """A hyperparameter that is unknown, of the wrong type or out of range."""


class DataError(OptsuiteError):
    """A dataset that is missing, truncated or not in its published format."""


class StorageError(OptsuiteError):
    """A file of curves or an archive that cannot be written, read or understood."""


class OutOfMemoryError(OptsuiteError, MemoryError):
    """One trial alone needs more memory than the device has."""


class UnsupportedError(OptsuiteError):
    """Something that learned_optimization has and optsuite has not; says what is missing."""
