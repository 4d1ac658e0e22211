"""Npz files, never pickled, whose arrays are decompressed one by one."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import numpy as np

from optsuite.errors import StorageError
from optsuite.storage._errors import CorruptFileError
from optsuite.storage._files import read_bytes, write_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    from optsuite._types import Array

# numpy reads a header through Python's own parser, which before Python 3.11.8 counts its depth for all
# threads at once: two at a time fail now and then (cpython issue 106905).
_ONE_PARSER = threading.Lock()


@final
class Npz(Mapping[str, "Array"]):
    """Arrays of a file that is fetched once, each decompressed when it is first asked for, and then kept.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: The file, or an array that is asked for, is truncated, damaged, pickled or no npz.
        StorageError: The storage cannot be reached.
    """

    def __init__(self, url: str, *, most: int = 2**31) -> None:
        """Fetch the file.

        Args:
            url: A file written by `write_npz` or by numpy's `savez` and `savez_compressed`.
        """
        content = read_bytes(url, missing="there is no such file; run its trial again", most=most)
        self._url = url
        self._arrays: dict[str, Array] = {}
        with self._explained():
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            self._members = {member.removesuffix(".npy"): member for member in self._zip.namelist()}
            if not self._members:
                raise ValueError("it holds no arrays")
            if sum(info.file_size for info in self._zip.infolist()) > most:
                raise ValueError(f"it is larger than {most} bytes")

    def __getitem__(self, key: str) -> Array:
        if key not in self._arrays:
            member = self._members[key]
            with self._explained():
                content = self._zip.read(member)  # whole, so that its checksum is verified
                with _ONE_PARSER:
                    self._arrays[key] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        return self._arrays[key]

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and dtype."""
        return self[key].shape, self[key].dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members  # the default would decompress

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as cause:  # damage can surface anywhere: zip, zlib, header, dtype, memory
            raise CorruptFileError(
                f"`{self._url}` is not a readable npz file ({type(cause).__name__}: {cause}): "
                "delete it or run its trial again"
            ) from cause


def read_npz(url: str, keys: Container[str] | None = None, most: int = 2**31) -> dict[str, Array]:
    """Read the arrays of an npz file.

    Args:
        url: URL of the file.
        keys: Keys of the arrays to decompress, which saves time; keys that the file lacks are left out.
            `None`: all.

    Raises:
        StorageError: It cannot be read; see `Npz`.
    """
    npz = Npz(url, most=most)
    return {key: npz[key] for key in npz if keys is None or key in keys}


def write_npz(url: str, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write a compressed npz file atomically, with the folders that it needs.

    Args:
        url: The file; one that is there is replaced.
        arrays: One array or more by key; each is passed through `np.asarray`.

    Raises:
        StorageError: There are no arrays, there are Python objects (npz would pickle them), or the file
            cannot be written.
    """
    if not arrays:
        raise StorageError(f"cannot write `{url}`: an npz needs at least one array")
    buffer = io.BytesIO()
    # np.savez_compressed would reserve the keys `file` and `allow_pickle`.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in arrays.items():
            array = _plain_array(key, value, url)
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    write_bytes(url, buffer.getvalue())


def _plain_array(key: str, value: npt.ArrayLike, url: str) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as cause:
        raise StorageError(f"cannot write `{key}` to `{url}`: {cause}") from cause
    if array.dtype.hasobject:
        raise StorageError(
            f"cannot write `{key}` to `{url}`: needed numbers or text, got Python objects ({array.dtype})"
        )
    return array
