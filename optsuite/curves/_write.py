"""Writing a curve, so that one file of its trial stays whoever else writes."""

from contextlib import suppress

from optsuite import storage
from optsuite.curves._check import misfit
from optsuite.curves._curve import SCHEDULE_KEYS, Curve
from optsuite.curves._names import SUFFIX, curve_filename, files_of_trial, later_than, trial_id_of
from optsuite.curves._read import read_curve
from optsuite.errors import StorageError


def write_curve(curve: Curve, root: str | None = None, *, replace: bool = False) -> str:
    """Write a curve to its folder, and delete what else there is of its trial.

    The name of the file tells a later time than those of all files of the trial that are there, whatever
    the clocks of other machines say. Runners that write the same trial at once keep the same file, the last
    by name. A failure after the curve is stored costs nothing: what could not be deleted is older by name.

    Args:
        curve: A curve of `make_curve`.
        root: Root of the curves; `storage.baseline_dir()` if `None`.
        replace: Take the place of a readable curve of the trial that is there, which is left otherwise.

    Returns:
        URL of the file that is kept: the new one, unless there was one, or another runner wrote a later one
        meanwhile.

    Raises:
        StorageError: It cannot be written, or is no curve that could be read back.
    """
    trial = str(curve.get("trial_id", ""))
    schedule = {key: int(curve[key]) for key in SCHEDULE_KEYS}
    folder = storage.curve_dir(curve.task_name, curve.opt_name, **schedule, root=root)
    url = storage.join_url(folder, curve_filename(trial))
    if wrong := misfit(curve, url):
        raise StorageError(f"cannot write `{url}`, it is not a curve: {wrong}")
    seen = files_of_trial(folder, trial)
    if not replace and (kept := _newest_readable(seen)):
        return kept
    url = storage.join_url(folder, curve_filename(trial, later_than(seen)))
    storage.write_npz(url, curve)
    return _keep_one(folder, trial, url, seen)


def remove_twins(folder: str) -> None:
    """Delete files that are older than the last curve of their trial, left by who died as he replaced them.

    Args:
        folder: Folder of curves.

    Raises:
        StorageError: The storage cannot be reached.
    """
    files: dict[str, list[str]] = {}
    for url in storage.list_files(folder, SUFFIX):
        if trial := trial_id_of(url):
            files.setdefault(trial, []).append(url)
    for urls in files.values():
        if len(urls) > 1 and (kept := _newest_readable(urls)):
            for twin in urls[: urls.index(kept)]:
                storage.remove(twin, missing_ok=True)


def _newest_readable(urls: list[str]) -> str | None:
    """Return the last file that holds a curve."""
    for url in reversed(urls):
        with suppress(StorageError):
            read_curve(url)
            return url
    return None


def _keep_one(folder: str, trial: str, url: str, seen: list[str]) -> str:
    """Delete all files of a trial but the last of those that were not seen before, and return its URL."""
    try:
        there = files_of_trial(folder, trial)
    except StorageError:  # the curve is stored
        there = []
    *older, kept = sorted({url, *there} - set(seen))
    for twin in (*seen, *older):
        with suppress(StorageError):  # a later runner deletes it
            storage.remove(twin, missing_ok=True)
    return kept
