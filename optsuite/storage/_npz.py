"""Npz files, never pickled, whose arrays are decompressed one by one, within bounds."""

from __future__ import annotations

import io
import math
import struct
import threading
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar, final

import numpy as np

from optsuite.errors import StorageError
from optsuite.storage._errors import CorruptFileError
from optsuite.storage._files import read_bytes, write_bytes

if TYPE_CHECKING:
    from typing import IO

    import numpy.typing as npt

    from optsuite._types import Array

MOST_NPZ = 2**29
"""Largest size of an npz file, and of all its arrays together, unless another is asked for: 512 MiB."""

_MOST_MEMBERS, _MOST_DIRECTORY, _MOST_HEADER = 10_000, 2**21, 2**12
_PIECE = 2**20  # bytes that are decompressed at a time

# numpy reads a header through Python's own parser, which before Python 3.11.8 counts its depth for all
# threads at once: two at a time fail now and then (cpython issue 106905).
_ONE_PARSER = threading.Lock()

_T = TypeVar("_T")


class Header(NamedTuple):
    """Shape and dtype of an array, before it takes any memory."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@final
class Npz(Mapping[str, "Array"]):
    """Arrays of a file that is fetched once, each decompressed when it is first asked for, and then kept.

    The sizes that the file tells are checked before any memory is taken for them. A file with a wrong
    checksum is fetched once more, as the way from its store may have damaged it.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: The file, or an array that is asked for, is truncated, damaged, too large, pickled
            or no npz.
        StorageError: The storage cannot be reached.
    """

    def __init__(self, url: str, *, most: int = MOST_NPZ) -> None:
        """Fetch the file.

        Args:
            url: A file written by `write_npz` or by numpy's `savez` and `savez_compressed`.
            most: Largest size, in bytes, of the file, and of all its arrays together.
        """
        self._url, self._most = url, most
        self._arrays: dict[str, Array] = {}
        self._content = self._fetch()
        self._zip = self._sound(lambda: _checked(self._content, most))
        self._members = {member.removesuffix(".npy"): member for member in self._zip.namelist()}

    def header(self, key: str) -> Header:
        """Return the shape and the dtype of an array, of which no more is decompressed than that.

        Raises:
            KeyError: There is no such array.
            CorruptFileError: It is damaged.
        """
        member = self._members[key]
        return self._sound(lambda: _header(self._zip, member))

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return len(self._content)

    @property
    def num_bytes(self) -> int:
        """Memory that all arrays together take, beside the file."""
        return sum(info.file_size for info in self._zip.infolist())

    def __getitem__(self, key: str) -> Array:
        if key not in self._arrays:
            member = self._members[key]
            self._arrays[key] = self._sound(lambda: _array(self._zip, member))
        return self._arrays[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members  # the default would decompress

    def _fetch(self) -> bytes:
        return read_bytes(self._url, missing="there is no such file; run its trial again", most=self._most)

    def _sound(self, parse: Callable[[], _T]) -> _T:
        """Parse the file; where that fails, fetch it anew, and parse that if it is another now."""
        try:
            try:
                return parse()
            except Exception:
                fetched = self._fetch()
                if fetched == self._content:
                    raise
                self._content = fetched
                self._zip = _checked(fetched, self._most)
                return parse()
        except StorageError:
            raise
        except Exception as cause:  # damage can surface anywhere: zip, zlib, header, dtype, memory
            raise CorruptFileError(
                f"`{self._url}` is not a readable npz file ({type(cause).__name__}: {cause}): "
                "delete it or run its trial again"
            ) from cause


def _checked(content: bytes, most: int) -> zipfile.ZipFile:
    """Open a zip file; ValueError where what it tells of its arrays is odd or large."""
    end = content[-22:]
    if end.startswith(b"PK\5\6") and end.endswith(b"\0\0"):  # else zipfile says what is wrong
        if struct.unpack("<L", end[12:16])[0] > _MOST_DIRECTORY or content[-42:-38] == b"PK\6\7":
            raise ValueError("its list of arrays is too long")
    elif b"PK\5\6" in content[-(2**16 + 22) :]:
        raise ValueError("it does not end where its list of arrays does")
    archive = zipfile.ZipFile(io.BytesIO(content))
    infos = archive.infolist()
    if not infos:
        raise ValueError("it holds no arrays")
    if len(infos) > _MOST_MEMBERS:
        raise ValueError(f"needed at most {_MOST_MEMBERS:,} arrays, got {len(infos):,}")
    if len({info.filename.removesuffix(".npy") for info in infos}) < len(infos):
        raise ValueError("two arrays have one name")
    if not all(info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise ValueError("it is compressed in a way that no npz is")
    if (total := sum(info.file_size for info in infos)) > most:
        raise ValueError(f"needed at most {most:,} bytes of arrays, got {total:,}")
    return archive


def _header(archive: zipfile.ZipFile, member: str) -> Header:
    with archive.open(member) as file:
        return _read_header(file, archive.getinfo(member).file_size)[0]


def _array(archive: zipfile.ZipFile, member: str) -> Array:
    """Read an array piece by piece to its end, where zipfile compares its checksum."""
    with archive.open(member) as file:
        header, is_fortran = _read_header(file, archive.getinfo(member).file_size)
        array: Array = np.empty(math.prod(header.shape), header.dtype)
        content, done = array.view(np.uint8) if array.nbytes else np.empty(0, np.uint8), 0
        while piece := file.read(_PIECE):
            content[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)
    if done < len(content):
        raise EOFError(f"got {done:,} of {len(content):,} bytes")
    return array.reshape(header.shape[::-1]).T if is_fortran else array.reshape(header.shape)


def _read_header(file: IO[bytes], file_size: int) -> tuple[Header, bool]:
    """Read the header of an array, and whether it is in Fortran's order; ValueError unless its size fits."""
    start = file.read(10)
    if start[:6] != b"\x93NUMPY" or start[6:8] not in (b"\1\0", b"\2\0"):
        raise ValueError("it holds something else than arrays")
    start += file.read(2) if start[6] == 2 else b""
    (size,) = struct.unpack("<H" if start[6] == 1 else "<L", start[8:])
    if size > _MOST_HEADER:
        raise ValueError(f"needed a header of at most {_MOST_HEADER:,} bytes, got {size:,}")
    npy = io.BytesIO(start[8:] + file.read(size))
    parse = np.lib.format.read_array_header_1_0 if start[6] == 1 else np.lib.format.read_array_header_2_0
    with _ONE_PARSER:
        shape, is_fortran, dtype = parse(npy)
    left = file_size - len(start) - size
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if any(isinstance(side, bool) or side < 0 for side in shape) or math.prod(shape) > left + 1:
        raise ValueError(f"it tells an impossible shape {str(shape)[:100]}")
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"it tells {shape} of {dtype}, and holds {left:,} bytes")
    return Header(shape, dtype), is_fortran


def read_npz(url: str, keys: Container[str] | None = None, *, most: int = MOST_NPZ) -> dict[str, Array]:
    """Read the arrays of an npz file.

    Args:
        url: URL of the file.
        keys: Keys of the arrays to decompress, which saves time; keys that the file lacks are left out.
            `None`: all.
        most: Largest size, in bytes, of the file, and of all its arrays together.

    Raises:
        StorageError: It cannot be read; see `Npz`.
    """
    npz = Npz(url, most=most)
    return {key: npz[key] for key in npz if keys is None or key in keys}


def write_npz(url: str, arrays: Mapping[str, npt.ArrayLike], *, compress: bool = True) -> None:
    """Write an npz file atomically, with the folders that it needs.

    Args:
        url: The file; one that is there is replaced.
        arrays: One array or more by key; each is passed through `np.asarray`.
        compress: Whether to spend time on a smaller file.

    Raises:
        StorageError: There are no arrays, there are Python objects (npz would pickle them), or the file
            cannot be written.
    """
    if not arrays:
        raise StorageError(f"cannot write `{url}`: an npz needs at least one array")
    buffer = io.BytesIO()
    # np.savez_compressed would reserve the keys `file` and `allow_pickle`.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
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
