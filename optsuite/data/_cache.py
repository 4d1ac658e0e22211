"""Files that are made once from the files of a dataset, and memory-mapped from then on."""

import hashlib
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from optsuite._types import Array
from optsuite.data._formats import reading
from optsuite.data._kinds import DatasetInfo
from optsuite.errors import DataError

FORMAT = 1  # count up when the content of the files changes: another number has every file made again


def cache_name(info: DatasetInfo, part: str, sources: Sequence[Path], *others: object) -> str:
    """Return a file name with a hash of all that the content of the file depends on.

    Args:
        info: The dataset's row in `DATASETS`.
        part: `train` or `test`.
        sources: The files that it is made from; their names, sizes and times of change are hashed.
        others: Everything else that the content depends on.
    """
    files = []
    for path in sources:
        with reading(path, info):
            state = path.stat()
        # What unpacks or copies a file may set the time of its content, which another file had.
        files.append((path.name, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    identity = repr((FORMAT, files, others)).encode()
    return f"{part}_{hashlib.blake2b(identity, digest_size=8).hexdigest()}.npy"


def mapped(info: DatasetInfo, path: Path, make: Callable[[Path], None], num_bytes: int = 0) -> Array:
    """Map the array of an npy file, after making the file if it does not exist.

    Other processes that need it in the meantime wait. A process that is killed leaves a `.tmp`, which the
    next one overwrites.

    Args:
        info: The dataset's row in `DATASETS`.
        path: The file.
        make: Function that writes the file to the path that it is given.
        num_bytes: Bytes that must be free on the disk before `make` writes them through a mapping.

    Returns:
        A read-only mapped array.

    Raises:
        DataError: The file cannot be written or read.
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
                raise OSError(f"needed {num_bytes:,} bytes, {free_bytes:,} are free")
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
    """Return a tensor that shares the memory of an array; do not write to it if that is mapped."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
