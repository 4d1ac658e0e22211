"""Names of files and folders of curves, and listings of them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from optsuite import storage
from optsuite.errors import StorageError

SUFFIX = ".curves"
"""Ending of the name of every file of a curve."""

_SCHEDULE = re.compile(r"(\d{1,15})_([1-9]\d{0,14})_(\d{1,15})_(\d{1,15})", re.ASCII)


class Place(NamedTuple):
    """A folder of curves, as its name tells it."""

    task: str
    label: str
    schedule: tuple[int, ...]
    """Numbers of `SCHEDULE_KEYS`."""


def place_of(url: str) -> Place | None:
    """Return what the folder of a file says of its curves; None if it is not named by a schedule."""
    *_, task, label, schedule, _name = ("", "", "", *url.split("/"))
    match = _SCHEDULE.fullmatch(schedule)
    return Place(task, label, tuple(map(int, match.groups()))) if match else None


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


def later_than(urls: Sequence[str]) -> datetime:
    """Return the time for a file name that sorts behind those of other files: now, or a second after theirs.

    The names may tell of a time to come, by the clock of another machine.
    """
    times = [datetime.now(UTC)]
    for url in urls:
        stamp = url.rpartition("/")[2][: len("YYYYmmdd_HHMMSS")]
        try:
            times.append(datetime.strptime(f"{stamp}Z", "%Y%m%d_%H%M%S%z") + timedelta(seconds=1))
        except (ValueError, OverflowError):  # no time, or the last that there is
            continue
    return max(times)


def recorded_trial_ids(dir_url: str) -> set[str]:
    """Return the ids of the trials that a folder holds, from its file names alone.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return {found for url in storage.list_files(dir_url, SUFFIX) if (found := trial_id_of(url))}


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
