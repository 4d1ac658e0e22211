"""The spool: curves that could not be stored where they belong, kept on this machine until they can be.

They lie in `<cache>/spool/<hash of the root>/`, as in a root of curves: below `curves` those of trials that
were not recorded, below `replacing` those that are to take the place of recorded ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from optsuite import curves, storage
from optsuite._places import cache_dir
from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.words import counted

_NEW, _REPLACING = "curves", "replacing"

_MOST_BYTES = 2**16  # of the file that names the root


class Waiting(NamedTuple):
    """Curves that wait for their root."""

    root: str
    """Root of curves, absolute."""
    files: list[Path]


class Uploaded(NamedTuple):
    """Outcome of `upload`."""

    urls: dict[str, list[str]]
    """Files that hold the curves now, by root: new ones, or those that were recorded meanwhile."""
    problems: list[str]
    """Reasons why curves still wait or were set aside, in words; empty if none does."""


def spool_dir() -> Path:
    """Return the folder of all curves that wait."""
    return cache_dir() / "spool"


def keep(curve: Curve, root: str | None = None, *, replace: bool = False) -> Path:
    """Keep a curve on this machine, in place of an older one of its trial that waits for the same root.

    Args:
        curve: A curve of `make_curve`.
        root: Root of the curves where it belongs; `storage.baseline_dir()` if `None`.
        replace: Whether it is to take the place of a readable curve of the trial that was recorded before.

    Returns:
        Its file.

    Raises:
        StorageError: It cannot be written here either.
    """
    root = _absolute(root)
    folder = _folder(root)
    storage.write_json(str(folder / "root.json"), {"root": root})
    return Path(curves.write_curve(curve, str(folder / (_REPLACING if replace else _NEW)), replace=True))


def waiting(root: str | None = None) -> list[Waiting]:
    """Return the curves that wait, by root; a folder whose root cannot be told is told by `upload`.

    Args:
        root: Root of the curves; `None` for all.
    """
    told = ((folder, url) for folder, url in _roots(root) if isinstance(url, str))
    return [Waiting(url, files) for folder, url in told if (files := _files(folder))]


def upload(root: str | None = None) -> Uploaded:
    """Write the curves that wait to their roots, and delete here those that are surely there.

    A curve that was recorded meanwhile is left, unless it was to be replaced and is older. A file that cannot
    be read is set aside. A root that cannot be reached is given up at its first curve.

    Args:
        root: Root of the curves; `None` for all.
    """
    urls: dict[str, list[str]] = {}
    problems: list[str] = []
    for folder, url in _roots(root):
        files = _files(folder)
        if not files:
            continue
        if isinstance(url, StorageError):
            problems.append(f"{counted(len(files), 'curve')} in `{folder}` wait for a root unknown: {url}")
            continue
        try:
            with FileLock(folder / ".lock", timeout=0):
                for stored in _upload_each(files, url, problems):
                    urls.setdefault(url, []).append(stored)
                places = {str(file.parent) for file in files}
                places |= {stored.rpartition("/")[0] for stored in urls.get(url, [])}
                for place in places:
                    storage.sweep_temporaries(place)  # an upload may have been killed
        except Timeout:
            problems.append(f"another process is uploading the curves that wait for `{url}`")
        except (OSError, StorageError) as error:  # of this machine
            problems.append(f"curves in `{folder}` cannot be uploaded: {error}")
    return Uploaded(urls, problems)


def _upload_each(files: list[Path], root: str, problems: list[str]) -> Iterator[str]:
    """Upload files of one root, and give the URLs at which their curves are now."""
    for number, file in enumerate(files):
        try:
            curve = Curve(curves.read_curve(str(file)))
        except storage.MissingFileError:  # a newer one of the same trial has taken its place
            continue
        except storage.CorruptFileError as error:
            problems.append(f"set aside as `{storage.set_aside(str(file))}`: {error}")
            continue
        try:
            url = curves.write_curve(curve, root, replace=_replaces(file, root))
            curves.read_curve(url)  # before the only copy of it is deleted
        except storage.UnreachableError as error:
            problems.append(f"{counted(len(files) - number, 'curve')} wait for `{root}`: {error}")
            return
        except StorageError as error:
            problems.append(f"`{file}` waits: {error}")
            continue
        file.unlink(missing_ok=True)
        yield url


def _replaces(file: Path, root: str) -> bool:
    """Return whether a curve is to take the place of recorded ones: not of those that came after it."""
    *_, kind, task, label, schedule, name = file.parts
    if kind != _REPLACING:
        return False
    recorded = storage.join_url(root, task, label, schedule)
    there = curves.files_of_trial(recorded, curves.trial_id_of(name) or "")
    return all(url.rpartition("/")[2] <= name for url in there)


def _absolute(root: str | None) -> str:
    root = storage.baseline_dir() if root is None else storage.clean_root(root)
    return storage.Store(root, root).absolute().curves


def _folder(root: str) -> Path:
    return spool_dir() / hashlib.sha256(root.encode(errors="surrogatepass")).hexdigest()[:16]


def _roots(root: str | None) -> Iterator[tuple[Path, str | StorageError]]:
    """Give each folder of the spool, or that of one root, with its root or why that cannot be told."""
    folders = sorted(spool_dir().glob("*")) if root is None else [_folder(_absolute(root))]
    for folder in filter(Path.is_dir, folders):
        try:
            yield folder, _root_of(folder)
        except StorageError as error:
            yield folder, error


def _root_of(folder: Path) -> str:
    file = str(folder / "root.json")
    match storage.read_json(file, most=_MOST_BYTES):
        case {"root": str(root)} if _folder(root).name == folder.name:
            return root
    raise storage.CorruptFileError(f"`{file}` does not name the root of the curves beside it")


def _files(folder: Path) -> list[Path]:
    """Return the files of curves in a folder of the spool, those that replace others last."""
    found = (file for kind in (_NEW, _REPLACING) for file in sorted(folder.glob(f"{kind}/*/*/*/*")))
    return [file for file in found if curves.trial_id_of(file.name)]
