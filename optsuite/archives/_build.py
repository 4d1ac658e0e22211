"""Making archives: many curves to one file."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from optsuite import storage
from optsuite._types import Array
from optsuite.archives._limits import check_size, most_bytes
from optsuite.archives._value import describe
from optsuite.curves import (
    EVAL_KEYS,
    SUFFIX,
    Read,
    is_text,
    read_each,
    read_folders,
    tell_bad_files,
    trial_id_of,
)
from optsuite.errors import StorageError
from optsuite.hparam_sets import HParamSet, Trial
from optsuite.words import listed

_Files: TypeAlias = dict[str, dict[str, Array]]

_MOST_NAMED = 3  # curves that a reason names


class Built(NamedTuple):
    """The archive of a cell, or the reason why there is none."""

    url: str | None
    """URL of the archive; None if curves are missing."""
    num_trials: int = 0
    """Number of curves that it needs."""
    missing: tuple[tuple[str, int], ...] = ()
    """Curves that are not there, or cannot be read: (config label, repetition), in the order of the set."""
    problems: tuple[str, ...] = ()
    """Errors of the cell's files that cannot be read, whether or not others take their place."""

    @property
    def why(self) -> str:
        """Reason why there is no archive, in words; empty if there is one."""
        if self.url is not None:
            return ""
        named = listed([f"{label} repetition {s}" for label, s in self.missing], _MOST_NAMED)
        if not self.problems:
            return f"it lacks {len(self.missing)} of {self.num_trials} curves: {named}"
        are = "cannot be read" if len(self.problems) >= len(self.missing) else "are missing or cannot be read"
        first = listed(self.problems, 1)
        return f"{len(self.missing)} of {self.num_trials} curves {are}: {named}; {first}"


def stack_curves(
    curves_HS: Sequence[Sequence[Mapping[str, npt.ArrayLike]]],
    names_HS: Sequence[Sequence[str]] | None = None,
) -> dict[str, Array]:
    """Stack curves that hold the same keys.

    Args:
        curves_HS: Repetitions of each config, equally many.
        names_HS: Name of each curve in errors, e.g. its URL; its place if `None`.

    Returns:
        Arrays by key with two leading axes, (H, S, ...).

    Raises:
        StorageError: There are no curves, or they differ in number, keys, shapes or dtypes.
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
    hparam_set: HParamSet,
    root: str | None = None,
    archives_root: str | None = None,
    threads: int = storage.THREADS,
    clear_bad_files: bool = False,
    trial_ids: Collection[str] | None = None,
) -> str | None:
    """Archive a cell if it is complete; leave an archive that holds the same already untouched.

    With `trial_ids`, an archive that was made of the very files that are there is recognised by their names.
    It is read whole, so that a damaged one is made anew, but no curve is read.

    Repetition s is the newest curve with seed s. In folders written by the original, whose curves
    keep no seed, it is the s-th file by name.

    Args:
        task_name: Name of the task.
        hparam_set: The set; configs are stacked in its order.
        root: Root of the curves; `storage.baseline_dir()` if `None`.
        archives_root: Root of the archives; `storage.archives_dir()` if `None`.
        threads: Number of files read at a time; 0: one after the other.
        clear_bad_files: Rename bad files to `<name>.bad` rather than warn of them.
        trial_ids: Ids of the cell's trials; curves of other trials are left alone. `None`: any trials.

    Returns:
        URL of the archive, or `None` if curves are missing (`missing_repetitions` says which).

    Raises:
        StorageError: The curves do not fit together, or reading or writing fails.
    """
    built, read = _build(task_name, hparam_set, root, archives_root, threads, trial_ids)
    tell_bad_files(read, clear_bad_files)
    return built.url


def try_archive(
    task_name: str,
    hparam_set: HParamSet,
    root: str | None = None,
    archives_root: str | None = None,
    trial_ids: Collection[str] | None = None,
) -> Built:
    """Archive a cell as `build_archive` does, and say why where that cannot be, rather than warn of files."""
    return _build(task_name, hparam_set, root, archives_root, storage.THREADS, trial_ids)[0]


def missing_repetitions(
    task_name: str,
    hparam_set: HParamSet,
    root: str | None = None,
    threads: int = storage.THREADS,
    trial_ids: Collection[str] | None = None,
) -> list[tuple[str, int]]:
    """Return what keeps a cell from being archived: (config label, repetition), in the order of the set.

    Args:
        task_name: Name of the task.
        hparam_set: The set.
        root: Root of the curves; `storage.baseline_dir()` if `None`.
        threads: Number of files read at a time; 0: one after the other.
        trial_ids: Ids of the cell's trials, as for `build_archive`.

    Raises:
        StorageError: The storage cannot be reached.
    """
    folders = read_folders(_curve_dirs(task_name, hparam_set, root), threads=threads)
    _, missing = _pick(_of_trials(folders, trial_ids), hparam_set.repetitions)
    labels = [config.label for config in hparam_set.configs]
    return [(label, s) for label, lacks in zip(labels, missing, strict=True) for s in lacks]


def _build(
    task_name: str,
    hparam_set: HParamSet,
    root: str | None,
    archives_root: str | None,
    threads: int,
    trial_ids: Collection[str] | None,
) -> tuple[Built, list[Read]]:
    """Archive a cell; return the files that were read for it, too."""
    url = storage.archive_path(task_name, hparam_set.name, archives_root)
    dirs = _curve_dirs(task_name, hparam_set, root)
    most = most_bytes(hparam_set.name, len(hparam_set.configs))
    old = _read_old(url, most)
    if trial_ids is not None and _is_sound(old, task_name, hparam_set, url):
        listings = storage.thread_map(lambda url: storage.list_files(url, SUFFIX), dirs, threads)
        if _is_current(old, listings, set(trial_ids)):
            return Built(url), []
    read = read_each(dirs, threads=threads)
    folders = _of_trials([_readable(files) for files in read], trial_ids)
    picked, missing = _pick(folders, hparam_set.repetitions)
    if any(missing):
        labels = [config.label for config in hparam_set.configs]
        lacking = tuple((label, s) for label, lacks in zip(labels, missing, strict=True) for s in lacks)
        num_trials = len(labels) * hparam_set.repetitions
        return Built(None, num_trials, lacking, _problems(read, trial_ids)), read
    names = [[picks[s] for s in range(hparam_set.repetitions)] for picks in picked]
    curves = [[files[file] for file in row] for files, row in zip(folders, names, strict=True)]
    data = stack_curves(curves, names)
    if "trial_id" in data:
        data["curve_file"] = np.array([[_filename(file) for file in row] for row in names])
    check_size(data, url, most)
    if not _holds(old, data):
        _warn_of_lost(url, hparam_set, old, data)
        storage.write_npz(url, data)
    return Built(url), read


def _curve_dirs(task_name: str, hparam_set: HParamSet, root: str | None) -> list[str]:
    """Return the folder of each config's curves."""
    schedule = hparam_set.schedule
    return [Trial(task_name, config, schedule, seed=0).folder(root) for config in hparam_set.configs]


def _readable(files: Read) -> _Files:
    return {url: arrays for url, arrays in files.items() if isinstance(arrays, dict)}


def _problems(read: Sequence[Read], trial_ids: Collection[str] | None) -> tuple[str, ...]:
    """Return the errors of files that are of the trials, or may be."""
    errors = [(url, one) for files in read for url, one in files.items() if isinstance(one, StorageError)]
    return tuple(
        str(error) for url, error in errors if trial_ids is None or trial_id_of(url) in {None, *trial_ids}
    )


def _is_sound(arrays: Mapping[str, Array], task_name: str, hparam_set: HParamSet, url: str) -> bool:
    """Return whether all that readers ask of an archive is there and fits the set."""
    try:
        archive = describe(arrays, task=task_name, hparam_set=hparam_set.name, url=url)
        archive.curves("train/xs", "train/loss")
        if archive.has_evaluations:
            archive.curves("eval/xs", *(key for key in EVAL_KEYS if key.count("/") == 2))
    except StorageError:
        return False
    needed = (len(hparam_set.configs), hparam_set.repetitions)
    return arrays["train/loss"].shape[:2] == needed and "curve_file" in arrays


def _is_current(
    arrays: Mapping[str, Array], listings: Sequence[Sequence[str]], trial_ids: Collection[str]
) -> bool:
    """Return whether an archive was made of the newest file of each trial."""
    archived = arrays["curve_file"]
    newest = {trial_id_of(file): _filename(file) for listing in listings for file in listing}
    return is_text(archived) and sorted(archived.flat) == sorted(newest.get(one, "") for one in trial_ids)


def _filename(url: str) -> str:
    return url.rpartition("/")[2]


def _pick(folders: Sequence[_Files], repetitions: int) -> tuple[list[dict[int, str]], list[list[int]]]:
    """Choose the files of each config, all of ours or all of the original's: whichever lacks fewer.

    Returns:
        URL of each repetition that is there, for each config, and the repetitions that are missing.
    """

    def pick(choose: Callable[[_Files], dict[int, str]]) -> tuple[list[dict[int, str]], list[list[int]]]:
        picked = [choose(files) for files in folders]
        return picked, [[s for s in range(repetitions) if s not in picks] for picks in picked]

    # The first is taken where both lack equally many, which is ours.
    return min(map(pick, (_by_seed, _by_name)), key=lambda option: sum(map(len, option[1])))


def _of_trials(folders: list[_Files], trial_ids: Collection[str] | None) -> list[_Files]:
    """Leave out curves of ours that belong to other trials."""

    def is_one(arrays: Mapping[str, Array]) -> bool:
        return trial_ids is None or "trial_id" not in arrays or str(arrays["trial_id"]) in trial_ids

    return [{url: arrays for url, arrays in files.items() if is_one(arrays)} for files in folders]


def _by_seed(files: _Files) -> dict[int, str]:
    # Later names overwrite earlier ones: the newest file of each seed stays.
    return {int(arrays["seed"]): url for url, arrays in files.items() if "seed" in arrays}


def _by_name(files: _Files) -> dict[int, str]:
    return dict(enumerate(url for url, arrays in files.items() if "seed" not in arrays))


def _read_old(url: str, most: int) -> dict[str, Array]:
    """Return all of the archive that is there, so that every checksum is verified; empty if it is damaged."""
    try:
        return storage.read_npz(url, most=most)
    except StorageError:
        return {}


def _warn_of_lost(
    url: str, hparam_set: HParamSet, old: Mapping[str, Array], new: Mapping[str, Array]
) -> None:
    """Say which configs an archive loses: ones that are not registered this time, or were edited."""
    was, now = _optimizers(old), _optimizers(new)
    if lost := sorted(was.keys() - now.keys()):
        warnings.warn(
            f"`{url}` held {', '.join(lost)} too, which `{hparam_set.name}` has not now: register all of "
            "them together to have them in one archive; their curves are kept",
            UserWarning,
            stacklevel=3,
        )
    if edited := sorted(label for label in was.keys() & now.keys() if was[label] != now[label]):
        warnings.warn(
            f"`{url}` held {', '.join(edited)} with other hyperparameters, and holds those of the latest "
            f"`{hparam_set.name}` now: give one of them another name to have both; their curves are kept",
            UserWarning,
            stacklevel=3,
        )


def _optimizers(arrays: Mapping[str, Array]) -> dict[str, object]:
    """Return the optimizer and hyperparameters of each label, None where the text is the original's."""
    names, texts = (arrays.get(key, np.array([])) for key in ("opt_name", "gin_operative_config"))
    if not (is_text(names) and is_text(texts)):  # what lies there may be anything
        return {}
    named = zip(names.ravel().tolist(), texts.ravel().tolist(), strict=False)
    return {name: _optimizer(text) for name, text in named if name.isprintable()}


def _optimizer(config_text: str) -> object:
    try:
        config = storage.parse_json(config_text, "configuration")
        return config["optimizer"], config["hparams"]
    except (StorageError, LookupError, TypeError):
        return None


def _holds(old: Mapping[str, Array], data: Mapping[str, Array]) -> bool:
    return old.keys() == data.keys() and all(
        old[key].dtype == new.dtype and old[key].tobytes() == new.tobytes() for key, new in data.items()
    )


def _check_alike(
    first_name: str, first: Mapping[str, npt.ArrayLike], name: str, curve: Mapping[str, npt.ArrayLike]
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
