"""Recorded trials and their curves: the store is the truth about what is done."""

import warnings
from collections.abc import Sequence

from optsuite import curves, data, storage
from optsuite.curves import Curve
from optsuite.errors import StorageError, parameter
from optsuite.hparam_sets import Trial
from optsuite.storage import Store
from optsuite.trainer import Outcome


def missing_trials(
    trials: Sequence[Trial],
    store: Store,
    source: data.Source,
    rerun: str = "missing",
    *,
    set_aside: bool = True,
) -> list[Trial]:
    """List the trials that are to be trained.

    Args:
        trials: Trials of one cell.
        store: Where to look for their curves.
        source: Kind of data that they train on.
        rerun: `missing`: trials without a file; `failed`: also those whose file cannot be read; `all`: all.
        set_aside: Rename the files that `failed` finds to `<name>.bad`.
    """
    if rerun == "all":
        return list(trials)
    folders = _folders(trials, store)
    if rerun == "failed" and not set_aside:
        readable = _read_all(folders)
        return [trial for trial in trials if trial.id(source) not in readable]
    if rerun == "failed":
        curves.read_folders(folders, threads=storage.THREADS, clear_bad_files=True)
    there = set().union(*storage.thread_map(curves.recorded_trial_ids, folders))
    return [trial for trial in trials if trial.id(source) not in there]


def recorded(trials: Sequence[Trial], store: Store, source: data.Source) -> list[Outcome]:
    """Read the curves of trials that were trained before; a curve that cannot be read gives its error."""
    by_id = _read_all(_folders(trials, store))
    outcomes = []
    for trial in trials:
        identity = trial.id(source)
        result = by_id[identity] if identity in by_id else _unreadable(trial, identity, store)
        outcomes.append(Outcome(trial, result, is_new=False))
    return outcomes


def _folders(trials: Sequence[Trial], store: Store) -> list[str]:
    """List the folders of trials, each once."""
    return list(dict.fromkeys(trial.folder(store.curves) for trial in trials))


def _unreadable(trial: Trial, identity: str, store: Store) -> StorageError:
    """Say what is wrong with the file of a trial whose curve could not be read."""
    folder = trial.folder(store.curves)
    files = curves.files_of_trial(folder, identity)
    advice = f"to train it again, run once more with {parameter('rerun', 'failed')}"
    try:
        storage.read_npz(files[-1])
    except IndexError:
        return StorageError(f"the curve in {folder} is gone: run again to train it")
    except StorageError as error:
        return storage.CorruptFileError(f"{error}; {advice}")
    return storage.CorruptFileError(f"`{files[-1]}` is not the curve of its trial; {advice}")


def _read_all(folders: Sequence[str]) -> dict[str, Curve]:
    """Read every readable curve of the folders, by trial id."""
    with warnings.catch_warnings():
        # A file that cannot be read becomes the outcome of its trial.
        warnings.simplefilter("ignore", curves.CorruptFileWarning)
        read = curves.read_folders(folders, threads=storage.THREADS)
    return {str(arrays.get("trial_id", "")): Curve(arrays) for files in read for arrays in files.values()}
