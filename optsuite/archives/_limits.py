"""Bounds of what an archive may take."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from optsuite._types import Array
from optsuite.errors import OptsuiteError, StorageError
from optsuite.hparam_sets import get_hparam_set, split_name
from optsuite.storage import CorruptFileError

_T = TypeVar("_T")

_LEAST_BYTES, _MOST_BYTES = 2**28, 2**31
_STEP_BYTES, _TRIAL_BYTES = 64, 2**18  # also with an evaluation at each step; text
_MOST_UNKNOWN = 1000  # configs of a family that is not registered here

_has_changed = threading.Condition()
_in_memory: list[int] = []
"""Sizes of the archives that threads read at the time."""


def most_bytes(hparam_set: str, num_configs: int | None = None) -> int:
    """Return how much memory an archive may take, and its file.

    That is 64 bytes a step and 256 KiB for the text of each trial that the name of its set tells, at least
    256 MiB (the family may have had more configs before) and at most 2 GiB.

    Args:
        hparam_set: Name of the set.
        num_configs: Number of its configs; of a registered family if `None`, and 1,000 of an unknown one.
    """
    if (parts := split_name(hparam_set)) is None:
        return _LEAST_BYTES
    _, num_steps, repetitions = parts
    if num_configs is None:
        try:
            num_configs = len(get_hparam_set(hparam_set).labels)
        except OptsuiteError:
            num_configs = _MOST_UNKNOWN
    num_trials = num_configs * repetitions
    return min(max(num_trials * (_STEP_BYTES * (num_steps + 1) + _TRIAL_BYTES), _LEAST_BYTES), _MOST_BYTES)


def check_size(arrays: Mapping[str, Array], url: str, most: int) -> None:
    """Raise StorageError if arrays are too large for an archive to be read back."""
    if (size := sum(array.nbytes for array in arrays.values())) > most:
        raise StorageError(
            f"cannot write `{url}`: needed at most {most:,} bytes in all, got {size:,}; split the set in two"
        )


@contextmanager
def in_memory(num_bytes: int) -> Iterator[None]:
    """Wait until an archive fits into memory beside those that other threads read: 2 GiB for all together."""
    with _has_changed:
        _has_changed.wait_for(lambda: not _in_memory or sum(_in_memory) + num_bytes <= _MOST_BYTES)
        _in_memory.append(num_bytes)
    try:
        yield
    finally:
        with _has_changed:
            _in_memory.remove(num_bytes)
            _has_changed.notify_all()


def read_again(read: Callable[[], _T]) -> _T:
    """Read a file, and once more where it is damaged: bits may flip on the way from the storage."""
    try:
        return read()
    except CorruptFileError:
        return read()
