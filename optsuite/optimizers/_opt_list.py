"""OptList: a list of hyperparameters of NAdamW, sorted so that the first ones are those to try first."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from optsuite import storage
from optsuite._code import digest
from optsuite.data import data_dir
from optsuite.errors import StorageError
from optsuite.optimizers._base import Optimizer
from optsuite.optimizers._nadamw import nadamw_cosine_lr

NUM_ENTRIES = 1000

Hparams: TypeAlias = Mapping[str, float | bool]
"""All hyperparameters of `nadamw_cosine_lr`, by name."""

_MOST_VALUE = float(np.finfo(np.float32).max)
_MOST_BYTES = 2**22
"""Size that no list has: the published one has a fifth of a MB."""

_URL = (
    "https://raw.githubusercontent.com/google/learned_optimization/main/"
    "learned_optimization/optimizers/data/opt_list.json"
)
_SHA256 = "774c4c189a6f75301c16c59dd9433c62f9a5d199c407de9a8df929d4c7702766"

_NAMES = {  # our names, by those in the file
    "learning_rate": "lr",
    "beta1": "beta1",
    "beta2": "beta2",
    "epsilon": "eps",
    "adamw_weight_decay": "weight_decay",
    "l2_weight_decay": "l2_weight_decay",
    "use_nesterov": "nesterov",
    "min_learning_rate_mult": "min_lr_mult",
    "constant_fraction": "constant_fraction",
    "warmup_fraction": "warmup_fraction",
}


def opt_list(idx: int) -> Optimizer:
    """Make NAdamW with one of a thousand lists of hyperparameters, of which the first ten come first to try.

    `init` needs `num_steps`.

    Args:
        idx: Place in OptList, in [0, 1000).

    Raises:
        StorageError: The list cannot be read.

    Source: Metz et al., https://arxiv.org/abs/2002.11887;
    `learned_optimization/optimizers/opt_list.py: OptList`, whose file is read as `read_opt_list` says.

    Example:
        >>> opt = opt_list(idx=7)
    """
    return nadamw_cosine_lr(**dict(zip(_NAMES.values(), _values(idx), strict=True)))


def _values(idx: int) -> tuple[float | bool, ...]:
    """Return the values of an entry."""
    return tuple(read_opt_list()[idx].values())


def read_opt_list() -> tuple[Hparams, ...]:
    """Return the thousand entries of OptList, which are read once per process.

    They are read from the path or URL in `OPTSUITE_OPT_LIST`, otherwise from the published file, which is
    downloaded to the folder of the datasets when it is first needed.

    Numbers are rounded to float32, as in the reference: at a beta2 near 1 that changes 1 - beta2 by 1e-3,
    and an entry would not do the same as Python numbers and as float32 tensors.

    Raises:
        StorageError: The file cannot be read, or is not what it should be.

    Example:
        >>> len(read_opt_list())
        1000
    """
    return _entries(os.environ.get("OPTSUITE_OPT_LIST", ""))


def own_list() -> str:
    """Return a hash of the list in `OPTSUITE_OPT_LIST`, 16 hexadecimal characters.

    It is empty without that variable, and for a list that cannot be read, with which nothing trains.

    Example:
        >>> own_list() == own_list()
        True
    """
    url = os.environ.get("OPTSUITE_OPT_LIST", "")
    with contextlib.suppress(StorageError):
        return _digest(url) if url else ""
    return ""


@functools.cache
def _digest(url: str) -> str:
    return digest(*_entries(url))


@functools.cache
def _entries(url: str) -> tuple[Hparams, ...]:
    return _parse(storage.read_bytes(url, most=_MOST_BYTES), url) if url else _parse(_published(), _URL)


def _published() -> bytes:
    copy = str(data_dir() / "opt_list.json")
    with contextlib.suppress(storage.MissingFileError):
        return _verified(storage.read_bytes(copy, most=_MOST_BYTES), copy)
    try:
        content = storage.read_bytes(_URL, most=_MOST_BYTES)
    except StorageError as cause:
        raise StorageError(
            f"the entries of OptList are not on this machine ({cause}): check the network, or get the "
            "file elsewhere and say with OPTSUITE_OPT_LIST where it lies"
        ) from cause
    _verified(content, _URL)
    with contextlib.suppress(StorageError):  # in a folder that is read-only nothing is kept
        storage.write_bytes(copy, content)
    return content


def _verified(content: bytes, url: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != _SHA256:
        raise storage.CorruptFileError(
            f"`{url}` is not the published list of OptList (its sha256 is {found}, needed {_SHA256}): "
            "delete it, if it is a file of yours, to have it downloaded again, or say with OPTSUITE_OPT_LIST "
            "where the list lies"
        )
    return content


def _parse(content: bytes, url: str) -> tuple[Hparams, ...]:
    entries = storage.parse_json(content, url)
    if not isinstance(entries, list) or len(entries) != NUM_ENTRIES:
        found = f"{len(entries)} of them" if isinstance(entries, list) else type(entries).__name__
        raise storage.CorruptFileError(f"`{url}` needs a list of {NUM_ENTRIES} entries, got {found}")
    return tuple(_hparams(entry, f"entry {i} of `{url}`") for i, entry in enumerate(entries))


def _hparams(entry: object, where: str) -> Hparams:
    if not isinstance(entry, dict) or entry.keys() != _NAMES.keys():
        found = ", ".join(entry) if isinstance(entry, dict) else type(entry).__name__
        raise storage.CorruptFileError(f"{where} needs the keys {', '.join(_NAMES)}; got {found}")
    return {name: _value(key, entry[key], where) for key, name in _NAMES.items()}


def _value(key: str, value: object, where: str) -> float | bool:
    if key == "use_nesterov":
        if isinstance(value, bool):
            return value
    elif isinstance(value, float | int) and not isinstance(value, bool) and abs(value) <= _MOST_VALUE:
        return float(np.float32(value))
    needed = "true or false" if key == "use_nesterov" else "a number that float32 can hold"
    raise storage.CorruptFileError(f"`{key}` in {where} must be {needed}, got {value!r:.40}")
