"""Reading curves: one file, or all of some folders."""

from __future__ import annotations

import warnings
from collections.abc import Container, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from optsuite import storage
from optsuite.curves._check import MOST_BYTES, misfit, most_bytes
from optsuite.curves._names import SUFFIX, trial_id_of
from optsuite.errors import StorageError
from optsuite.storage import CorruptFileError, MissingFileError

if TYPE_CHECKING:
    from optsuite._types import Array

Read: TypeAlias = "dict[str, dict[str, Array] | StorageError]"
"""Files of a folder by URL, sorted by name: the arrays of each, or its error."""

_LISTINGS = 5  # of folders whose files other runners replace


class CorruptFileWarning(UserWarning):
    """Some files of curves could not be read and were left out."""


def read_curve(url: str) -> dict[str, Array]:
    """Read a file of curves, and hold all of it against its folder, its name and its own facts.

    A file that is damaged is read once more: bits may flip on the way from the storage.

    Args:
        url: The file. In a folder named by a schedule it may take as much memory as a curve of the schedule
            does (12 bytes a step, 128 an evaluation, 4 MiB of text), elsewhere 64 MiB, and never more.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is damaged, too large, or not the curve that its name promises.
        StorageError: The storage cannot be reached.
    """
    try:
        return _read_once(url)
    except CorruptFileError:
        return _read_once(url)


def read_each(
    dir_urls: Sequence[str],
    *,
    output_type: str = "curves",
    threads: int = 0,
    only: Container[str] | None = None,
) -> list[Read]:
    """Read every file of some folders; a bad one gives its error.

    Args:
        dir_urls: The folders; a missing one has no files.
        output_type: Suffix of the files, without its dot; only curves are held against their names.
        threads: Number of files read at a time; 0: one after the other.
        only: Ids of trials of ours, to read no other files.

    Returns:
        Arrays of each file, or its error, by its URL, sorted by file name, for each folder.

    Raises:
        StorageError: A folder cannot be listed.
    """

    def list_files(dir_url: str) -> list[str]:
        urls = storage.list_files(dir_url, f".{output_type}")
        return [url for url in urls if only is None or trial_id_of(url) in only]

    outcomes: Read = {}
    for _ in range(_LISTINGS):
        listings = storage.thread_map(list_files, dir_urls, threads)
        new = [url for listing in listings for url in listing if url not in outcomes]
        outcomes.update(zip(new, storage.thread_map(_attempt, new, threads), strict=True))
        if gone := [url for url, outcome in outcomes.items() if isinstance(outcome, MissingFileError)]:
            # Another runner replaced files since the listing: look once more.
            for url in gone:
                del outcomes[url]
            continue
        break
    return [{url: outcomes[url] for url in listing if url in outcomes} for listing in listings]


def read_folders(
    dir_urls: Sequence[str], *, output_type: str = "curves", threads: int = 0, clear_bad_files: bool = False
) -> list[dict[str, dict[str, Array]]]:
    """Read every readable file of some folders; a bad one does not cost the others.

    Args:
        dir_urls: The folders; a missing one has no files.
        output_type: Suffix of the files, without its dot.
        threads: Number of files read at a time; 0: one after the other.
        clear_bad_files: Rename bad files to `<name>.bad` rather than warn of them.

    Returns:
        Arrays of each file by its URL, sorted by file name, for each folder.

    Warns:
        CorruptFileWarning: Some files could not be read; names them.

    Raises:
        StorageError: A folder cannot be listed, or a bad file cannot be renamed.
    """
    read = read_each(dir_urls, output_type=output_type, threads=threads)
    tell_bad_files(read, clear_bad_files)
    return [
        {url: arrays for url, arrays in outcomes.items() if isinstance(arrays, dict)} for outcomes in read
    ]


def tell_bad_files(read: Sequence[Read], clear_bad_files: bool) -> None:
    """Warn of the files that `read_each` could not read, or rename those that are corrupt to `<name>.bad`.

    Warns:
        CorruptFileWarning: Names the files.

    Raises:
        StorageError: A bad file cannot be renamed.
    """
    told = []
    for url, error in ((url, one) for outcomes in read for url, one in outcomes.items()):
        if clear_bad_files and isinstance(error, CorruptFileError):
            set_aside(url)
        elif isinstance(error, StorageError):
            told.append(str(error))
    if told:
        message = f"left out {len(told)} of the files of curves:\n" + "\n".join(told)
        warnings.warn(message, CorruptFileWarning, stacklevel=3)


def set_aside(url: str) -> None:
    """Rename a bad file to `<name>.bad`, unless another runner has done so.

    Raises:
        StorageError: It cannot be renamed.
    """
    with suppress(MissingFileError):
        storage.set_aside(url)


def load_baseline_results_from_dir(
    save_dir: str, output_type: str = "curves", threads: int = 0, clear_bad_files: bool = False
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


def _attempt(url: str) -> dict[str, Array] | StorageError:
    try:
        return read_curve(url)
    except StorageError as error:
        return error


def _read_once(url: str) -> dict[str, Array]:
    is_curve = url.endswith(SUFFIX)
    npz = storage.Npz(url, most=most_bytes(url) if is_curve else MOST_BYTES)
    if is_curve and (wrong := misfit(npz, url)):
        raise CorruptFileError(f"`{url}` is not a file of curves ({wrong}): delete it or run its trial again")
    return dict(npz)
