"""Files made once from a dataset's own, and memory-mapped from then on."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from optsuite.data._formats import reading
from optsuite.errors import DataError

if TYPE_CHECKING:
    from optsuite._types import Array
    from optsuite.data._kinds import DatasetInfo

__all__ = ["as_tensor", "cache_name", "mapped"]

_FORMAT = 1  # another number makes every file again: count up when what is written to them changes


def cache_name(info: DatasetInfo, part: str, sources: Sequence[Path], *others: object) -> str:
    """Name of a file that holds a hash of all that its content depends on.

    Args:
        info: The dataset's row.
        part: `train` or `test`.
        sources: The files that it is made from; known by name, size and time of change.
        others: What else it depends on.
    """
    files = []
    for path in sources:
        with reading(path, info):
            state = path.stat()
        files.append((path.name, state.st_size, state.st_mtime_ns))
    identity = repr((_FORMAT, files, others)).encode()
    return f"{part}_{hashlib.blake2b(identity, digest_size=8).hexdigest()}.npy"


def mapped(info: DatasetInfo, path: Path, make: Callable[[Path], None], num_bytes: int = 0) -> Array:
    """The array of an npy file, which is made first where it is not there.

    Whoever needs it in the meantime waits. A run that is killed leaves a `.tmp`, which the next overwrites.

    Args:
        info: The dataset's row.
        path: The file.
        make: Writes it to the path that it is given.
        num_bytes: That have to be free before: those that will be written through a mapping.

    Returns:
        Mapped; it cannot be written to.

    Raises:
        DataError: It cannot be written or read.
    """
    if not path.exists():
        _make_once(info, path, make, num_bytes)
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as cause:
        raise DataError(
            f"cannot read {path}, a converted copy of {info.title} ({type(cause).__name__}: {cause}): "
            "delete it and run again"
        ) from cause
    return array


def _make_once(info: DatasetInfo, path: Path, make: Callable[[Path], None], num_bytes: int) -> None:
    folder, temporary = path.parent, path.with_name(f"{path.name}.tmp")
    try:
        folder.mkdir(exist_ok=True)
        with FileLock(folder / ".lock"):
            if path.exists():
                return
            free_bytes = shutil.disk_usage(folder).free
            if free_bytes < num_bytes:  # a mapping that runs out of disk would kill the process
                raise OSError(f"needs {num_bytes:,} bytes, {free_bytes:,} are free")
            try:
                make(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except (OSError, NotImplementedError) as cause:  # the latter where a file system has no locks
        raise DataError(
            f"cannot write the converted copy of {info.title} to {folder} ({cause}): make room there, or set "
            "OPTSUITE_DATA_DIR to a folder that can be written"
        ) from cause


def as_tensor(array: Array) -> Tensor:
    """A tensor on an array's memory; if that is mapped, it must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
