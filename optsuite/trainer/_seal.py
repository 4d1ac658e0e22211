"""Digests of the arrays of a state, and texts among them, of which nothing is believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from optsuite import storage
from optsuite._types import Array
from optsuite.errors import StorageError
from optsuite.trainer._dump import Arrays

# Name of the digests among the arrays of a state.
_SEAL = "digests"


def text_of(arrays: Arrays, name: str) -> str:
    """Return a text among arrays.

    Raises:
        StorageError: It is missing, or no text.
    """
    if name not in arrays:
        raise StorageError(f"a run's state needs `{name}`, got {sorted(arrays)}")
    array = arrays[name]
    if array.shape != () or array.dtype.kind != "U":
        raise StorageError(f"`{name}` of a run's state must be a text, got {array.dtype} of {array.shape}")
    return str(array)


def digest(array: Array) -> str:
    """Return 32 hexadecimal characters that stand for an array's type, shape and content."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()[:32]


def sealed(arrays: Arrays) -> Arrays:
    """Add the digests of all arrays, by which `unsealed` knows them again."""
    found = {name: digest(array) for name, array in arrays.items()}
    return {**arrays, _SEAL: np.array(json.dumps(found))}


def digests(arrays: Arrays) -> Mapping[str, object]:
    """Read the digests of arrays that were sealed.

    Raises:
        StorageError: They are missing or damaged.
    """
    found = storage.parse_json(text_of(arrays, _SEAL), f"{_SEAL} of a run's state")
    if not isinstance(found, dict):
        raise StorageError(f"`{_SEAL}` of a run's state must be a dict, got a {type(found).__name__}")
    return found


def unsealed(arrays: Arrays) -> Arrays:
    """Return the arrays that were sealed.

    Raises:
        StorageError: They are not those; names one that is missing, left over or different.
    """
    found = {name: array for name, array in arrays.items() if name != _SEAL}
    got = {name: digest(array) for name, array in found.items()}
    check_same(digests(arrays), got, "a run's state is damaged")
    return found


def check_same(needed: Mapping[str, object], got: Mapping[str, object], words: str) -> None:
    """Compare digests by name.

    Raises:
        StorageError: They differ; says so in these words and with a name.
    """
    if different := [name for name in {**needed, **got} if needed.get(name) != got.get(name)]:
        raise StorageError(f"{words}: `{min(different)}` differs")
