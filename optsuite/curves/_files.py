"""Files of curves: their names, their folders, writing and reading them.

A curve lies at `<root>/<task>/<config label>/<schedule>/<YYYYmmdd_HHMMSS>_<trial id>.curves`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from optsuite import storage
from optsuite.curves._curve import SCHEDULE_KEYS, Curve
from optsuite.errors import StorageError

if TYPE_CHECKING:
    from optsuite._types import Array

SUFFIX = ".curves"
"""Ending of the name of every file of a curve."""


class CorruptFileWarning(UserWarning):
    """Some files of curves could not be read and were left out."""


def curve_filename(trial_id: str, time: datetime | None = None) -> str:
    """Return the file name of a trial's curve, `<YYYYmmdd_HHMMSS>_<trial id>.curves`.

    The time is in UTC, unlike the original's, so that names from different machines sort by age.

    Args:
        trial_id: Id of the trial, ten hexadecimal characters.
        time: Time at which the trial ended, UTC if it has no time zone; now if `None`.

    Raises:
        StorageError: `trial_id` has another form.
    """
    if not re.fullmatch(r"[0-9a-f]{10}", trial_id):
        raise StorageError(f"a trial id is 10 hexadecimal characters (got `{trial_id}`)")
    time = datetime.now(UTC) if time is None else time
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{time:%Y%m%d_%H%M%S}_{trial_id}{SUFFIX}"


def trial_id_of(url: str) -> str | None:
    """Return the trial id in the name of a curve's file; `None` for other files, such as the original's."""
    match = re.search(rf"(?:^|/)\d{{8}}_\d{{6}}_([0-9a-f]{{10}}){re.escape(SUFFIX)}$", url)
    return match[1] if match else None


def files_of_trial(folder: str, trial_id: str) -> list[str]:
    """Return the URLs of a trial's files in its folder, the oldest first: one, but while runners write.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return storage.list_files(folder, f"_{trial_id}{SUFFIX}")


def write_curve(curve: Curve, root: str | None = None) -> str:
    """Write a curve to its folder, then delete all files of the same trial but the newest.

    Args:
        curve: A curve of `make_curve`.
        root: Root of the curves; `storage.baseline_dir()` if `None`.

    Returns:
        URL of the file that is kept: the new one, unless another runner wrote a newer one meanwhile.

    Raises:
        StorageError: It cannot be written.
    """
    trial = str(curve.get("trial_id", ""))
    schedule = {key: int(curve[key]) for key in SCHEDULE_KEYS}
    folder = storage.curve_dir(curve.task_name, curve.opt_name, **schedule, root=root)
    url = storage.join_url(folder, curve_filename(trial))
    storage.write_npz(url, curve)
    # All runners keep the same file, the last by name, so that exactly one stays.
    twins = files_of_trial(folder, trial) or [url]
    for older in twins[:-1]:
        storage.remove(older, missing_ok=True)
    return twins[-1]


def recorded_trial_ids(dir_url: str) -> set[str]:
    """Return the ids of the trials that a folder holds, from its file names alone.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return {found for url in storage.list_files(dir_url, SUFFIX) if (found := trial_id_of(url))}


def read_folders(
    dir_urls: Sequence[str],
    *,
    output_type: str = "curves",
    threads: int = 0,
    clear_bad_files: bool = False,
) -> list[dict[str, dict[str, Array]]]:
    """Read every readable file of some folders; a bad one does not cost the others.

    Args:
        dir_urls: The folders; a missing one has no files.
        output_type: Suffix of the files, without its dot.
        threads: Number of files read at a time; 0: one after the other.
        clear_bad_files: Rename bad files to `<name>.bad` rather than warn of them.

    Returns:
        Arrays of each file by its URL, sorted by file name, for each folder.

    Raises:
        StorageError: A folder cannot be listed, or a bad file cannot be renamed.
    """
    for _ in range(2):
        listings = storage.thread_map(lambda u: storage.list_files(u, f".{output_type}"), dir_urls, threads)
        urls = [url for listing in listings for url in listing]
        outcomes = dict(zip(urls, storage.thread_map(_read_curve, urls, threads), strict=True))
        errors = {url: error for url, error in outcomes.items() if isinstance(error, StorageError)}
        if not any(isinstance(error, storage.MissingFileError) for error in errors.values()):
            break
        # Another runner replaced a file since the listing: look once more.
    _handle_bad_files(errors, clear_bad_files)
    return [
        {url: arrays for url in listing if isinstance(arrays := outcomes[url], dict)} for listing in listings
    ]


def find_folders(
    tasks: str | Sequence[str], configs: str | Sequence[str], root: str
) -> list[tuple[str, str, str]]:
    """Return the names of folders of curves: (task, config label, schedule), sorted within each glob.

    Args:
        tasks: One or more names or globs of tasks.
        configs: One or more labels or globs of configs.
        root: Root of the curves.

    Raises:
        StorageError: The storage cannot be reached.
    """

    def below(parents: Sequence[tuple[str, ...]], names: str | Sequence[str]) -> list[tuple[str, ...]]:
        def expand(parent: tuple[str, ...]) -> list[str]:
            list_names = storage.list_folders if parent else storage.list_tasks
            return storage.expand_globs(names, lambda: list_names(storage.join_url(root, *parent)))

        found = storage.thread_map(expand, parents)
        return [(*parent, name) for parent, children in zip(parents, found, strict=True) for name in children]

    folders = below(below(below([()], tasks), configs), "*")
    return [(task, config, schedule) for task, config, schedule in folders if schedule != "*"]


def load_baseline_results_from_dir(
    save_dir: str,
    output_type: str = "curves",
    threads: int = 0,
    clear_bad_files: bool = False,
) -> list[dict[str, Array]]:
    """Load all curves of one folder, sorted by file name.

    The original deletes bad files, or fails if there is one.

    Args:
        save_dir: Folder of the curves; one that is empty or missing gives an empty list.
        output_type: Suffix of the files, without its dot.
        threads: Number of files read at a time; 0: one after the other.
        clear_bad_files: Rename bad files to `<name>.bad` rather than warn of them.

    Warns:
        CorruptFileWarning: Some files could not be read; names them.

    Raises:
        StorageError: The folder cannot be listed.
    """
    folders = read_folders(
        [save_dir], output_type=output_type, threads=threads, clear_bad_files=clear_bad_files
    )
    return list(folders[0].values())


def load_baseline_results(
    task_name: str,
    opt_name: str,
    num_steps: int,
    eval_every: int,
    eval_batches: int,
    last_eval_batches: int,
    output_type: str = "curves",
    threads: int = 0,
    clear_bad_files: bool = False,
) -> list[dict[str, Array]]:
    """Load all curves of one task, config and schedule; see `load_baseline_results_from_dir`."""
    save_dir = storage.curve_dir(task_name, opt_name, num_steps, eval_every, eval_batches, last_eval_batches)
    return load_baseline_results_from_dir(save_dir, output_type, threads, clear_bad_files)


def _read_curve(url: str) -> dict[str, Array] | StorageError:
    try:
        arrays = storage.read_npz(url)
    except StorageError as error:
        return error
    if url.endswith(SUFFIX) and not {"train/xs", "train/loss"} <= arrays.keys():
        return storage.CorruptFileError(
            f"`{url}` is not a file of curves (its keys are {', '.join(arrays)}): "
            "delete it or run its trial again"
        )
    if misfit := _misfit(arrays):
        return storage.CorruptFileError(
            f"`{url}` is not a file of curves ({misfit}): delete it or run its trial again"
        )
    return arrays


def _misfit(arrays: Mapping[str, Array]) -> str | None:
    """Return what is wrong with a curve that is not as long as its steps; `None` if nothing is."""
    for key, values in arrays.items():
        room = key.partition("/")[0]
        if (key == "train/loss" or (room == "eval" and key.count("/") == 2)) and f"{room}/xs" in arrays:
            steps = arrays[f"{room}/xs"]
            if values.ndim != 1 or values.shape != steps.shape:
                return f"`{key}` is {values.shape}, `{room}/xs` {steps.shape}"
    return None


def _handle_bad_files(errors: Mapping[str, StorageError], clear_bad_files: bool) -> None:
    told = []
    for url, error in errors.items():
        if clear_bad_files and isinstance(error, storage.CorruptFileError):
            storage.set_aside(url)
        elif not isinstance(error, storage.MissingFileError):
            told.append(str(error))
    if told:
        message = f"left out {len(told)} of the files of curves:\n" + "\n".join(told)
        warnings.warn(message, CorruptFileWarning, stacklevel=3)
