"""Recorded trials and their curves: the store is the truth about what is done."""

from collections.abc import Mapping, Sequence

from optsuite import curves, data, storage
from optsuite._types import Array
from optsuite.curves import Curve
from optsuite.errors import StorageError, parameter, quoted
from optsuite.hparam_sets import Trial
from optsuite.storage import CorruptFileError, Store
from optsuite.trainer import Outcome
from optsuite.words import shown


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
        rerun: `missing`: trials without a file; `failed`: also those whose file is corrupt; `all`: all.
        set_aside: Rename the corrupt files that `failed` finds to `<name>.bad`.

    Raises:
        StorageError: A curve would be too large to be read, or the storage cannot be reached.
    """
    for schedule in {trial.schedule for trial in trials}:
        curves.check_length(schedule.num_steps, schedule.eval_every)
    if rerun == "all":
        return list(trials)
    if rerun == "failed":
        found = _read_all(trials, store, source)
        for url, result in ((url, one) for files in found.values() for url, one in files.items()):
            if set_aside and isinstance(result, CorruptFileError):
                curves.set_aside(url)
        return [trial for trial in trials if isinstance(_best(found[trial]), CorruptFileError | None)]
    there = set().union(*storage.thread_map(curves.recorded_trial_ids, _folders(trials, store)))
    return [trial for trial in trials if trial.id(source) not in there]


def recorded(trials: Sequence[Trial], store: Store, source: data.Source) -> list[Outcome]:
    """Read the curves of trials that were trained before; a curve that cannot be read gives its error."""
    found = _read_all(trials, store, source)
    return [Outcome(trial, _told(trial, _best(found[trial]), store), is_new=False) for trial in trials]


def _folders(trials: Sequence[Trial], store: Store) -> list[str]:
    """List the folders of trials, each once."""
    return list(dict.fromkeys(trial.folder(store.curves) for trial in trials))


def _read_all(
    trials: Sequence[Trial], store: Store, source: data.Source
) -> dict[Trial, dict[str, Curve | StorageError]]:
    """Read the files of trials: a curve or an error by URL, the oldest first."""
    by_id = {trial.id(source): trial for trial in trials}
    found: dict[Trial, dict[str, Curve | StorageError]] = {trial: {} for trial in trials}
    read = curves.read_each(_folders(trials, store), threads=storage.THREADS, only=by_id.keys())
    for url, outcome in ((url, one) for files in read for url, one in files.items()):
        trial = by_id[curves.trial_id_of(url) or ""]
        found[trial][url] = _of_trial(trial, source, url, outcome)
    return found


def _of_trial(
    trial: Trial, source: data.Source, url: str, outcome: Mapping[str, Array] | StorageError
) -> Curve | StorageError:
    """Hold a curve against its trial."""
    if isinstance(outcome, StorageError):
        return outcome
    curve = Curve(outcome)
    needed = (trial.seed, source, trial.precision)
    got = (curve.seed, str(curve["data_source"]), str(curve.get("precision", "float32")))
    if got == needed:
        return curve
    words = "seed {}, {} data, precision {}"
    return CorruptFileError(
        f"`{url}` is not the curve of its trial: needed {words.format(*needed)}, got "
        f"{words.format(*map(shown, map(str, got)))}"
    )


def _best(files: Mapping[str, Curve | StorageError]) -> Curve | StorageError | None:
    """Return the newest curve, else the newest error; None if there is no file."""
    results = list(files.values())
    return next(
        (one for one in reversed(results) if isinstance(one, Curve)), results[-1] if results else None
    )


def _told(trial: Trial, result: Curve | StorageError | None, store: Store) -> Curve | StorageError:
    """Say what to do where there is no curve."""
    if result is None:
        return StorageError(f"the curve in {trial.folder(store.curves)} is gone: run again to train it")
    if isinstance(result, CorruptFileError):
        advice = f"to train it again, run once more with {parameter('rerun', 'failed')}"
        return CorruptFileError(f"{quoted(result)}; {advice}")
    return result
