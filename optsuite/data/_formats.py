"""Readers of the formats in which datasets are published.

CIFAR is published as pickles. They are read here with an unpickler that can build nothing but
lists, dicts, strings, numbers and uint8 arrays, so that a foreign file cannot run code (torchvision
would execute it), and because the files' own spelling of a dtype (`align=0`) is deprecated in
NumPy.
"""

import gzip
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from optsuite._types import Array
from optsuite.data._kinds import DatasetInfo, ImageDataset
from optsuite.errors import DataError, StorageError, import_extra

# The errors that readers raise on a damaged or foreign file.
_DAMAGE = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError),
    *(StorageError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


class Arrays(NamedTuple):
    """Images and labels of a dataset's training or test set."""

    images: Array  # uint8 (M, C, Y, X)
    labels: Array  # int64 (M,)


@contextmanager
def reading(path: Path, info: DatasetInfo) -> Iterator[None]:
    """Turn what reading a damaged file raises into a DataError that names the file and its dataset."""
    try:
        yield
    except _DAMAGE as cause:
        detail = f"{type(cause).__name__}: {cause}"
        raise DataError(
            f"cannot read {path} as a file of {info.title} ({detail}): if it is damaged, delete "
            f"it and {info.how_to_get}"
        ) from cause


def read_idx(path: Path, ndim: int) -> Array:
    """Read an idx file of bytes, plain or as `path` with `.gz` added.

    Args:
        path: Path without `.gz`.
        ndim: Number of dimensions that the array must have.

    Returns:
        A read-only array, uint8, of the shape that the file states.

    Raises:
        ValueError: The file is no idx file of bytes, or not as long as its header says.
    """
    raw = path.read_bytes() if path.exists() else gzip.decompress(_gz(path).read_bytes())
    magic = bytes((0, 0, 8, ndim))  # 8: the elements are unsigned bytes
    if raw[:4] != magic:
        raise ValueError(f"expected the magic number {magic.hex()}, got {raw[:4].hex()}")
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise ValueError(f"expected a header of {start} bytes, got {len(raw)}")
    shape = tuple(int(length) for length in np.frombuffer(raw, ">u4", ndim, offset=4))
    if len(raw) != start + prod(shape):
        raise ValueError(f"expected {start + prod(shape)} bytes for shape {shape}, got {len(raw)}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _gz(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def read_mnist(info: ImageDataset, folder: Path, part: str) -> Arrays:
    """Read MNIST or Fashion-MNIST; `part` is `train` or `test`."""
    stem = {"train": "train", "test": "t10k"}[part]
    path = folder / f"{stem}-images-idx3-ubyte"
    with reading(path if path.exists() else _gz(path), info):
        images = read_idx(path, 3)[:, None]
    path = folder / f"{stem}-labels-idx1-ubyte"
    with reading(path if path.exists() else _gz(path), info):
        labels = read_idx(path, 1).astype(np.int64)
    return Arrays(images, labels)


def _bytes_dtype(name: str, _align: object = False, _copy: object = True) -> np.dtype[Any]:
    if name not in ("u1", "uint8"):
        raise pickle.UnpicklingError(f"expected arrays of bytes (`u1`), got `{name}`")
    return np.dtype("u1", copy=True)


def _empty_array(_cls: object, _shape: object, _kind: object) -> Array:
    return np.empty(0, np.uint8)


def _encode(text: str, _encoding: str) -> bytes:
    return text.encode("latin1")


_ADMITTED = {
    ("numpy", "dtype"): _bytes_dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes in Python 2's protocol
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"`{module}.{name}` has no place in an image file")
        return _ADMITTED[module, name]


def read_cifar(info: ImageDataset, folder: Path, part: str) -> Arrays:
    """Read CIFAR-10 or CIFAR-100 (its fine labels); `part` is `train` or `test`."""
    names = [name for name in info.files if name.startswith("test") == (part == "test")]
    key = "labels" if info.num_classes == 10 else "fine_labels"
    images, labels = [], []
    for name in names:
        with reading(folder / name, info), (folder / name).open("rb") as file:
            content = _ArrayUnpickler(file, encoding="latin1").load()
            images.append(content["data"].reshape(-1, 3, 32, 32))
            labels.append(np.asarray(content[key], dtype=np.int64))
            if len(images[-1]) != len(labels[-1]):
                raise ValueError(f"{len(images[-1])} images but {len(labels[-1])} labels")
    return Arrays(np.concatenate(images), np.concatenate(labels))


def read_svhn(info: ImageDataset, folder: Path, part: str) -> Arrays:
    """Read SVHN's cropped digits; `part` is `train` or `test`."""
    io = import_extra("scipy.io", "svhn", f"the .mat files of {info.title} need scipy", DataError)
    path = folder / f"{part}_32x32.mat"
    with reading(path, info):
        try:
            content = io.loadmat(path)
        except io.matlab.MatReadError as cause:  # derives from Exception alone
            raise ValueError(str(cause)) from cause
        images = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))
        labels = content["y"].astype(np.int64).reshape(-1) % 10  # the digit 0 is stored as 10
    return Arrays(images, labels)


def read_npz_rows(path: Path, key: str, max_bytes: int) -> Iterator[Array]:
    """Read an array of an npz in slices along its first axis, never whole.

    Args:
        path: The npz file.
        key: Name of the array in it.
        max_bytes: Largest size of a slice, though a slice has at least one row.

    Yields:
        Consecutive slices, which are read-only.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        major, _ = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0
        if major != 1:
            read_header = np.lib.format.read_array_header_2_0
        (num_rows, *row), is_fortran, dtype = read_header(file)
        if is_fortran or dtype.hasobject:
            raise ValueError(f"`{key}` must hold numbers in C order, got {dtype}")
        row_bytes = dtype.itemsize * prod(row)
        step = max(1, max_bytes // row_bytes)
        for start in range(0, num_rows, step):
            rows = min(step, num_rows - start)
            raw = file.read(rows * row_bytes)
            yield np.frombuffer(raw, dtype).reshape(rows, *row)
