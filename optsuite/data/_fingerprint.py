"""Fingerprints of data: hashes of all that the examples of a dataset depend on."""

import gzip
import hashlib
import operator
import os
import tempfile
import time
import zlib
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from optsuite import storage
from optsuite._places import cache_dir
from optsuite.data import _synthetic, _synthetic_text
from optsuite.data._cache import FORMAT
from optsuite.data._corpus import ERRORS_VARIABLE
from optsuite.data._datasets import get_datasets
from optsuite.data._kinds import MODEL_FILE, MODEL_VARIABLE, DatasetInfo, ImageDataset, TextDataset
from optsuite.data._location import find_files
from optsuite.errors import StorageError

ABSENT = "absent"
"""Fingerprint of published data that are not on this machine."""

_UNREADABLE = "unreadable"  # nothing is trained on it
_YOUNG_NS = 2_000_000_000  # a file so new may change again without another size or time of change

_State: TypeAlias = tuple[str, int, int, int]
"""Path, size, and times of the last change in ns: any, which nothing can set, and that of the content."""

_SETTINGS = ("OPTSUITE_DATA_DIR", "XDG_CACHE_HOME", "HOME", MODEL_VARIABLE, ERRORS_VARIABLE)

_known: dict[Hashable, tuple[list[DatasetInfo], str]] = {}
"""Rows of datasets and their fingerprint; what is changed while a process runs keeps its own."""


def fingerprint(dataset: str, source: str) -> str:
    """Return sixteen hexadecimal characters that stand for the data that are read under a name.

    Published data: the content of the files, without their compression, and of a SentencePiece model. Photos
    of Food-101 are known by the index of their names alone, as they are to their converted copy. Stand-ins:
    the number of the recipe.

    Files are read once, and known by path, size and times of change from then on.

    Args:
        dataset: Key of `DATASETS`, or several joined by `+`.
        source: `real` for the published data, `synthetic` for the stand-in.

    Returns:
        The characters, or `ABSENT` for published data that are not on this machine.

    Raises:
        UnknownNameError: There is no such dataset.

    Example:
        >>> len(fingerprint("mnist", "synthetic"))
        16
    """
    infos = get_datasets(dataset)
    # This is asked for every trial: to hash the rows, or to make a path, would take most of the time.
    key = dataset, source, *(map(os.environ.get, _SETTINGS) if source == "real" else ())
    known_infos, found = _known.get(key, ([], ""))
    if len(infos) == len(known_infos) and all(map(operator.is_, infos, known_infos)):
        return found
    parts = [_of_published(info) if source == "real" else _of_stand_in(info) for info in infos]
    if ABSENT in parts:  # not kept, since they may be fetched
        return ABSENT
    _known[key] = infos, _digest(parts)
    return _known[key][1]


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _of_stand_in(info: DatasetInfo) -> str:
    kind = _synthetic if isinstance(info, ImageDataset) else _synthetic_text
    return f"{info.name}, stand-in {kind.RECIPE}"


def _of_published(info: DatasetInfo) -> str:
    folder = find_files(info)
    if folder is None:
        return ABSENT
    files = list(_files(info, folder))
    settings: list[object] = [FORMAT]
    if isinstance(info, TextDataset):
        settings += [os.environ.get(ERRORS_VARIABLE) == "skip", *_model(info, folder)]
    return _digest((info.name, settings, _contents(folder, files)))


def _files(info: DatasetInfo, folder: Path) -> Iterator[Path]:
    """Yield the files that the reader of a dataset reads."""
    if isinstance(info, TextDataset):
        for part in ("train", "test"):
            yield from info.part_files(folder, part)
    elif isinstance(info, ImageDataset):
        for name in info.files:
            path = folder / name
            if not path.is_dir():
                yield path if path.exists() else path.with_name(f"{path.name}.gz")


def _model(info: TextDataset, folder: Path) -> list[str]:
    """Return what stands for the SentencePiece model: its hash, or its URL as in `read_tokens`."""
    url = os.environ.get(MODEL_VARIABLE) or str(folder / MODEL_FILE)
    if not info.num_pieces or "://" in url:
        return [url] if info.num_pieces else []
    try:
        return [hashlib.sha256(storage.read_bytes(url)).hexdigest()]
    except StorageError:
        return [_UNREADABLE]


def _contents(folder: Path, files: list[Path]) -> str:
    """Return a hash of the content of files, which is kept in the user's cache."""
    states = [_state(path) for path in files]
    newest = max((changed for *_, changed in states), default=0)
    kept = cache_dir() / "fingerprints" / hashlib.sha256(repr(states).encode()).hexdigest()
    is_settled = newest < time.time_ns() - _YOUNG_NS
    if is_settled and (found := _read_kept(kept)):
        return found
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing releases the interpreter lock
        hashes = list(pool.map(_hash_of_file, files))
    names = [path.relative_to(folder).as_posix().removesuffix(".gz") for path in files]
    digest = hashlib.sha256(repr([*zip(names, hashes, strict=True)]).encode()).hexdigest()
    if is_settled and _UNREADABLE not in hashes and states == [_state(path) for path in files]:
        _keep(kept, digest)
    return digest


def _state(path: Path) -> _State:
    with suppress(OSError):
        state = path.stat()
        return str(path), state.st_size, state.st_ctime_ns, state.st_mtime_ns
    return str(path), -1, 0, 0


def _hash_of_file(path: Path) -> str:
    """Return the hash of a file's content, without its compression unless that is damaged."""
    for opened in (gzip.open, open) if path.suffix == ".gz" else (open,):
        with suppress(OSError, EOFError, zlib.error), opened(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return _UNREADABLE


def _read_kept(path: Path) -> str | None:
    with suppress(OSError), path.open("rb") as file:
        digest, _, check = file.read(200).partition(b" ")
        if check and check == _check(path, digest):
            return digest.decode()
    return None


def _check(path: Path, digest: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + digest).hexdigest().encode()


def _keep(path: Path, digest: str) -> None:
    """Write a hash to a file that appears whole or not at all; without one it is only slower."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(b" ".join([digest.encode(), _check(path, digest.encode())]))
        Path(file.name).replace(path)
