"""Many curves to one archive: every array of a cell, stacked `[configs, repetitions, ...]`.

Archives are npz files, `<root>/<task>/<hparam set>.npz`, with the keys of their curves:
`train/loss` is float32 (H, S, num_steps + 1), `num_steps` int64 (H, S), for H configs and S
repetitions. Those of learned_optimization (`baselines/run_archive.py`) are read here, ours there. Ours
add `curve_file` (H, S), the names of the curves' files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from optsuite import storage
from optsuite.curves import read_folders
from optsuite.errors import StorageError, parameter

if TYPE_CHECKING:
    import numpy.typing as npt

    from optsuite._types import Array

    _Files: TypeAlias = dict[str, dict[str, Array]]

__all__ = [
    "build_archive",
    "delete_archive",
    "find_cells",
    "list_hparam_sets_for_task",
    "load_archive",
    "missing_repetitions",
    "stack_curves",
    "write_archive",
]


class _Config(Protocol):
    @property
    def label(self) -> str: ...


class _Schedule(Protocol):
    @property
    def num_steps(self) -> int: ...
    @property
    def eval_every(self) -> int: ...
    @property
    def eval_batches(self) -> int: ...
    @property
    def last_eval_batches(self) -> int: ...


class _HParamSet(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def configs(self) -> Sequence[_Config]: ...
    @property
    def repetitions(self) -> int: ...
    @property
    def schedule(self) -> _Schedule: ...


def stack_curves(
    curves_HS: Sequence[Sequence[Mapping[str, npt.ArrayLike]]],
    names_HS: Sequence[Sequence[str]] | None = None,
) -> dict[str, Array]:
    """Stack curves that hold the same keys.

    Args:
        curves_HS: For each config its repetitions, equally many.
        names_HS: What errors call each curve, e.g. its URL; its place if `None`.

    Returns:
        Each array with two leading axes, (H, S, ...).

    Raises:
        StorageError: No curves, or curves that differ in number, keys, shapes or dtypes.
    """
    counts = {len(curves_S) for curves_S in curves_HS}
    if len(counts) != 1 or counts == {0}:
        raise StorageError(
            "an archive needs equally many curves, at least one, of every config "
            f"(got {[len(curves_S) for curves_S in curves_HS]})"
        )
    places = ((h, s) for h in range(len(curves_HS)) for s in range(len(curves_HS[0])))
    named = [
        (names_HS[h][s] if names_HS else f"config {h}, repetition {s}", curves_HS[h][s]) for h, s in places
    ]
    for name, curve in named[1:]:
        _check_alike(*named[0], name, curve)
    return {
        key: np.stack([np.stack([np.asarray(c[key]) for c in curves_S]) for curves_S in curves_HS])
        for key in curves_HS[0][0]
    }


def build_archive(
    task_name: str,
    hparam_set: _HParamSet,
    root: str | None = None,
    archives_root: str | None = None,
    threads: int = storage.THREADS,
    clear_bad_files: bool = False,
    trial_ids: Collection[str] | None = None,
) -> str | None:
    """Archive a cell if it is complete; leave an archive that holds the same already untouched.

    With `trial_ids`, an archive of the very files that are there is found by their names: it is read whole,
    so that a damaged one is made anew, but no curve is.

    Repetition s is the newest curve with seed s. In folders written by the original, whose curves
    keep no seed, it is the s-th file by name.

    Args:
        task_name: Name of the task.
        hparam_set: The set; configs are stacked in its order.
        root: Root of the curves; `storage.baseline_dir()` if `None`.
        archives_root: Root of the archives; `storage.archives_dir()` if `None`.
        threads: Files read at a time; 0: one after the other.
        clear_bad_files: Rename bad files to `<name>.bad` rather than warn of them.
        trial_ids: The trials of the cell; other curves of ours in its folders are left alone. `None`: any.

    Returns:
        The archive's URL, or `None` if curves are missing (`missing_repetitions` says which).

    Raises:
        StorageError: Curves that do not fit together, or a failing read or write.
    """
    url = storage.archive_path(task_name, hparam_set.name, archives_root)
    dirs = _curve_dirs(task_name, hparam_set, root)
    if trial_ids is not None and _is_current(url, dirs, set(trial_ids), threads):
        return url
    folders = _of_trials(read_folders(dirs, threads=threads, clear_bad_files=clear_bad_files), trial_ids)
    picked, missing = _pick(folders, hparam_set.repetitions)
    if any(missing):
        return None
    names = [[picks[s] for s in range(hparam_set.repetitions)] for picks in picked]
    curves = [[files[file] for file in row] for files, row in zip(folders, names, strict=True)]
    data = stack_curves(curves, names)
    if "trial_id" in data:
        data["curve_file"] = np.array([[_filename(file) for file in row] for row in names])
    if not _holds(url, data):
        storage.write_npz(url, data)
    return url


def missing_repetitions(
    task_name: str,
    hparam_set: _HParamSet,
    root: str | None = None,
    threads: int = storage.THREADS,
    trial_ids: Collection[str] | None = None,
) -> list[tuple[str, int]]:
    """What `build_archive` waits for: (config label, repetition), in the order of the set.

    Args:
        task_name: Name of the task.
        hparam_set: The set.
        root: Root of the curves; `storage.baseline_dir()` if `None`.
        threads: Files read at a time; 0: one after the other.
        trial_ids: The trials of the cell, as for `build_archive`. `None`: any.

    Raises:
        StorageError: The storage cannot be reached.
    """
    folders = read_folders(_curve_dirs(task_name, hparam_set, root), threads=threads)
    _, missing = _pick(_of_trials(folders, trial_ids), hparam_set.repetitions)
    labels = [config.label for config in hparam_set.configs]
    return [(label, s) for label, lacks in zip(labels, missing, strict=True) for s in lacks]


def write_archive(
    task_name: str,
    hparam_set_name: str,
    data: Mapping[str, npt.ArrayLike],
    root: str | None = None,
) -> str:
    """Write an archive, replacing one that is there, and return its URL.

    Args:
        task_name: Name of the task.
        hparam_set_name: Name of the set.
        data: From `stack_curves`.
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
    """Load the archive of one cell.

    Args:
        task_name: Name of the task.
        hparam_set_name: Name of the set.
        root: Root of the archives; `storage.archives_dir()` if `None`.
        keys: Only these are decompressed, which saves time; those that the archive lacks are left out.
            `None`: all.

    Returns:
        Arrays by key, (configs, repetitions, ...).

    Raises:
        StorageError: There is no such archive (says which there are), or it cannot be read.
    """
    url = storage.archive_path(task_name, hparam_set_name, root)
    try:
        return storage.read_npz(url, keys)
    except storage.MissingFileError as cause:
        raise _no_archive(url, task_name, hparam_set_name, root) from cause


def list_hparam_sets_for_task(task_name: str, root: str | None = None) -> list[str]:
    """Names of the sets that have an archive for a task, sorted.

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
    """Names of tasks crossed with names of sets, where either may be globs over what is archived.

    A name that is no glob stays whether or not there is an archive, and so does a glob that matches nothing:
    reading them says what is missing. But a glob of sets that matches in some tasks is left out of those
    others that a glob found.

    Args:
        tasks: One or more names or globs.
        sets: Likewise, e.g. `Adam*_R5`.
        root: Root of the archives; `storage.archives_dir()` if `None`. It is listed only if a task is a
            glob, a task's folder only if a set is one.

    Returns:
        (task, set), tasks outermost, in the order given, those of a glob sorted.

    Raises:
        StorageError: The storage cannot be reached.
    """
    root = storage.archives_dir() if root is None else storage.clean_root(root)
    task_names = storage.expand_globs(tasks, lambda: storage.list_folders(root))
    set_names = storage.thread_map(
        lambda task: storage.expand_globs(sets, lambda: list_hparam_sets_for_task(task, root)), task_names
    )
    cells = [(task, name) for task, names in zip(task_names, set_names, strict=True) for name in names]
    named = [tasks] if isinstance(tasks, str) else tasks
    everywhere = set.intersection(*map(set, set_names)) if set_names else set[str]()  # also idle globs
    return [
        (task, name)
        for task, name in cells
        if task in named or name in everywhere or not storage.is_glob(name)
    ]


def delete_archive(archive_name: str, task_name: str, root: str | None = None) -> None:
    """Delete an archive; its curves stay.

    Args:
        archive_name: Name of the set.
        task_name: Name of the task (the original's order).
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: There is no such archive (the original says nothing), or it cannot be deleted.
    """
    url = storage.archive_path(task_name, archive_name, root)
    # Object stores delete what is not there without a word, so ask first.
    if archive_name not in list_hparam_sets_for_task(task_name, root):
        raise _no_archive(url, task_name, archive_name, root)
    storage.remove(url, missing_ok=True)


def _no_archive(url: str, task_name: str, hparam_set_name: str, root: str | None) -> storage.MissingFileError:
    known = list_hparam_sets_for_task(task_name, root)
    there = f"its archives are {', '.join(known)}" if known else "it has no archives"
    stand_ins = f"{storage.archives_dir() if root is None else root.rstrip('/')}_synthetic"
    if hparam_set_name in list_hparam_sets_for_task(task_name, stand_ins):
        there = f"there is one on stand-in data: pass {parameter('archives', stand_ins)}"
    return storage.MissingFileError(
        f"no archive of `{hparam_set_name}` for task `{task_name}` at `{url}`: {there}"
    )


def _curve_dirs(task_name: str, hparam_set: _HParamSet, root: str | None) -> list[str]:
    """The folder of each config's curves."""
    plan = hparam_set.schedule
    schedule = (plan.num_steps, plan.eval_every, plan.eval_batches, plan.last_eval_batches)
    return [storage.curve_dir(task_name, config.label, *schedule, root=root) for config in hparam_set.configs]


def _is_current(url: str, dirs: Sequence[str], trial_ids: Collection[str], threads: int) -> bool:
    """Whether an archive is whole and was made of the newest file of each trial."""
    try:
        archived = storage.read_npz(url)["curve_file"]  # all of it, so that every checksum is verified
    except (StorageError, KeyError):
        return False
    listings = storage.thread_map(lambda url: storage.list_files(url, ".curves"), dirs, threads)
    files = [_filename(file) for listing in listings for file in listing]
    newest = {file.removesuffix(".curves").rpartition("_")[2]: file for file in files}
    return sorted(archived.flat) == sorted(newest.get(identity, "") for identity in trial_ids)


def _filename(url: str) -> str:
    return url.rpartition("/")[2]


def _pick(folders: Sequence[_Files], repetitions: int) -> tuple[list[dict[int, str]], list[list[int]]]:
    """Choose each config's files, all of ours or all of the original's: whichever lacks fewer.

    Returns:
        For each config, the URL of each repetition that is there, and the repetitions that are not.
    """
    choices: list[Callable[[_Files], dict[int, str]]] = [_by_seed, _by_name]
    options = []
    for choose in choices:
        picked = [choose(files) for files in folders]
        missing = [[s for s in range(repetitions) if s not in picks] for picks in picked]
        options.append((picked, missing))
    return min(options, key=lambda option: sum(map(len, option[1])))  # ours, if they are equal


def _of_trials(folders: list[_Files], trial_ids: Collection[str] | None) -> list[_Files]:
    """Leave out curves of ours that are of other trials."""

    def is_one(arrays: Mapping[str, Array]) -> bool:
        return trial_ids is None or "trial_id" not in arrays or str(arrays["trial_id"]) in trial_ids

    return [{url: arrays for url, arrays in files.items() if is_one(arrays)} for files in folders]


def _by_seed(files: _Files) -> dict[int, str]:
    # Later names overwrite earlier ones: the newest file of each seed stays.
    return {int(arrays["seed"]): url for url, arrays in files.items() if "seed" in arrays}


def _by_name(files: _Files) -> dict[int, str]:
    return dict(enumerate(url for url, arrays in files.items() if "seed" not in arrays))


def _holds(url: str, data: Mapping[str, Array]) -> bool:
    try:
        old = storage.read_npz(url)
    except StorageError:
        return False
    return old.keys() == data.keys() and all(
        old[key].dtype == new.dtype and old[key].tobytes() == new.tobytes() for key, new in data.items()
    )


def _check_alike(
    first_name: str,
    first: Mapping[str, npt.ArrayLike],
    name: str,
    curve: Mapping[str, npt.ArrayLike],
) -> None:
    if first.keys() != curve.keys():
        lacking = ", ".join(sorted(first.keys() - curve.keys())) or "none"
        added = ", ".join(sorted(curve.keys() - first.keys())) or "none"
        raise StorageError(
            f"the curves of a cell need the same keys: compared with {first_name}, {name} "
            f"lacks {lacking} and adds {added}"
        )
    for key in first:
        needed, came = np.asarray(first[key]), np.asarray(curve[key])
        both_text = needed.dtype.kind == came.dtype.kind == "U"
        if needed.shape != came.shape or not (both_text or needed.dtype == came.dtype):
            raise StorageError(
                f"the curves of a cell need equal shapes and dtypes: `{key}` is {needed.dtype} "
                f"{needed.shape} in {first_name}, but {came.dtype} {came.shape} in {name}"
            )
