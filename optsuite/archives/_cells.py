"""The archives of a root: finding, reading, writing and deleting them."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy.typing as npt

from optsuite import storage
from optsuite._types import Array
from optsuite.archives._limits import in_memory, most_bytes, read_again
from optsuite.archives._value import Absent, Archive, describe
from optsuite.errors import StorageError, parameter
from optsuite.storage import MissingFileError
from optsuite.words import listed

_T = TypeVar("_T")

_MOST_NAMED = 3  # cells without an archive that an error names


def write_archive(
    task_name: str, hparam_set_name: str, data: Mapping[str, npt.ArrayLike], root: str | None = None
) -> str:
    """Write an archive, replacing one that is there, and return its URL.

    Args:
        task_name: Name of the task.
        hparam_set_name: Name of the set.
        data: Arrays by key, from `stack_curves`.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: It cannot be written.
    """
    url = storage.archive_path(task_name, hparam_set_name, root)
    storage.write_npz(url, data)
    return url


def load_archive(
    task_name: str, hparam_set_name: str, root: str | None = None, keys: Container[str] | None = None
) -> dict[str, Array]:
    """Load the arrays of one cell's archive, as they are.

    Args:
        task_name: Name of the task.
        hparam_set_name: Name of the set.
        root: Root of the archives; `storage.archives_dir()` if `None`.
        keys: Keys of the arrays to decompress, which saves time; keys that the archive lacks are left out.
            `None`: all.

    Returns:
        Arrays by key, (configs, repetitions, ...).

    Raises:
        StorageError: There is no such archive (says which there are), or it cannot be read or would take more
            memory than an archive of its set may: 64 bytes a step and 256 KiB for each trial, at least
            256 MiB and at most 2 GiB.
    """
    url = storage.archive_path(task_name, hparam_set_name, root)
    try:
        most = most_bytes(hparam_set_name)
        return read_again(lambda: storage.read_npz(url, keys, most=most))
    except MissingFileError as cause:
        raise _no_archive(task_name, hparam_set_name, root) from cause


def read_archive(task_name: str, hparam_set_name: str, root: str | None = None, store: str = "") -> Archive:
    """Fetch the archive of one cell, once, and check its facts.

    Args:
        task_name: Name of the task.
        hparam_set_name: Name of the set.
        root: Root of the archives; `storage.archives_dir()` if `None`.
        store: Label of the store; the root if empty.

    Raises:
        StorageError: There is no such archive (says which there are), or it cannot be read.
    """
    archive = _read(task_name, hparam_set_name, root, store, lambda archive: archive)
    if isinstance(archive, Absent):
        raise explained(archive)
    return archive


def read_each(
    cells: Iterable[tuple[str, str]], use: Callable[[Archive], _T], root: str | None = None, store: str = ""
) -> list[_T | Absent]:
    """Read many archives at a time; one that cannot be read does not cost the others.

    Args:
        cells: (task, set) of each.
        use: Function that makes of an archive what is kept of it, so that not all arrays must fit into
            memory at once. A cell for which it raises a `StorageError` is absent.
        root: Root of the archives; `storage.archives_dir()` if `None`.
        store: Label of the store; the root if empty.

    Returns:
        Results of `use`, or `Absent` where there is none, in the order of the cells.
    """
    return storage.thread_map(lambda cell: _read(*cell, root, store, use), cells)


def require_any(read: Sequence[_T | Absent], root: str | None = None) -> list[_T | Absent]:
    """Return what was read, unless there is no archive at all.

    Args:
        read: Results of `read_each`.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        MissingFileError: Every archive is missing; says where else there are some.
    """
    missing = [one for one in read if isinstance(one, Absent) and one.reason == "missing"]
    if len(missing) < len(read):
        return list(read)
    root = storage.archives_dir() if root is None else storage.clean_root(root)
    asked = [f"`{one.hparam_set}` of `{one.task}`" for one in missing]
    cells = "" if asked in ([], ["`*` of `*`"]) else f" of {listed(asked, _MOST_NAMED)}"
    stand_ins = storage.beside(root, "synthetic")
    there = storage.list_tasks(stand_ins)
    hint = f"; there are archives of results on stand-in data in `{stand_ins}`" if there else ""
    raise MissingFileError(f"no archives{cells} in `{root}`{hint}")


def explained(absent: Absent) -> StorageError:
    """Return the error of a cell; of one without an archive, the error also says which archives there are."""
    if absent.reason != "missing":
        return absent.error
    return _no_archive(absent.task, absent.hparam_set, absent.root)


def list_hparam_sets_for_task(task_name: str, root: str | None = None) -> list[str]:
    """Return the sorted names of the sets that have an archive for a task.

    Args:
        task_name: Name of the task; one without archives has no sets.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: The storage cannot be reached.
    """
    folder = storage.archive_path(task_name, "any", root).rpartition("/")[0]
    urls = storage.list_files(folder, ".npz")
    return [url.rpartition("/")[2].removesuffix(".npz") for url in urls]


def find_cells(
    tasks: str | Sequence[str], sets: str | Sequence[str], root: str | None = None
) -> list[tuple[str, str]]:
    """Cross names of tasks with names of sets, where either may be globs over what is archived.

    A name that is no glob stays whether or not there is an archive, and so does a glob that matches nothing:
    reading them says what is missing. But a glob of sets that matches in some tasks is left out of those
    others that a glob found.

    Args:
        tasks: One or more names or globs of tasks.
        sets: One or more names or globs of hparam sets, e.g. `Adam*_R5`.
        root: Root of the archives; `storage.archives_dir()` if `None`. It is listed only if a task is a
            glob, a task's folder only if a set is one.

    Returns:
        (task, set), tasks outermost, in the order given, those of a glob sorted.

    Raises:
        StorageError: The storage cannot be reached.
    """
    root = storage.archives_dir() if root is None else storage.clean_root(root)
    task_names = storage.expand_globs(tasks, lambda: storage.list_tasks(root))
    set_names = storage.thread_map(
        lambda task: storage.expand_globs(sets, lambda: list_hparam_sets_for_task(task, root)), task_names
    )
    named = [tasks] if isinstance(tasks, str) else tasks
    # Globs that match nothing are among these, too.
    everywhere = set.intersection(*map(set, set_names)) if set_names else set[str]()
    return [
        (task, name)
        for task, names in zip(task_names, set_names, strict=True)
        for name in names
        if task in named or name in everywhere or not storage.is_glob(name)
    ]


def delete_archive(archive_name: str, task_name: str, root: str | None = None) -> None:
    """Delete an archive; its curves stay.

    Args:
        archive_name: Name of the set.
        task_name: Name of the task; the order of the arguments is the original's.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: There is no such archive (the original says nothing), or it cannot be deleted.
    """
    url = storage.archive_path(task_name, archive_name, root)
    # Object stores delete what is not there without a word, so ask first.
    if archive_name not in list_hparam_sets_for_task(task_name, root):
        raise _no_archive(task_name, archive_name, root)
    storage.remove(url, missing_ok=True)


def _read(
    task: str, hparam_set: str, root: str | None, store: str, use: Callable[[Archive], _T]
) -> _T | Absent:
    url = storage.archive_path(task, hparam_set, root)
    most = most_bytes(hparam_set)

    def read() -> _T:
        npz = storage.Npz(url, most=most)
        with in_memory(npz.num_bytes):
            return use(describe(npz, task=task, hparam_set=hparam_set, url=url, store=store))

    try:
        return read_again(read)
    except MissingFileError:
        error: StorageError = MissingFileError(f"no archive of `{hparam_set}` for task `{task}` at `{url}`")
    except StorageError as cause:  # e.g. no permission, or a folder in its place
        error = cause
    return Absent(task=task, hparam_set=hparam_set, url=url, store=store, error=error)


def _no_archive(task_name: str, hparam_set_name: str, root: str | None) -> MissingFileError:
    """Return the error of a missing archive, which says what there is instead."""
    known = list_hparam_sets_for_task(task_name, root)
    there = f"its archives are {', '.join(known)}" if known else "it has no archives"
    stand_ins = storage.beside(storage.archives_dir() if root is None else root, "synthetic")
    if hparam_set_name in list_hparam_sets_for_task(task_name, stand_ins):
        there = f"there is one on stand-in data: pass {parameter('archives', stand_ins)}"
    url = storage.archive_path(task_name, hparam_set_name, root)
    return MissingFileError(f"no archive of `{hparam_set_name}` for task `{task_name}` at `{url}`: {there}")
