"""Archives and normalizers, which are made of the curves."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from optsuite import archives, normalizers
from optsuite.errors import StorageError
from optsuite.hparam_sets import ids_of
from optsuite.runner._events import Teller
from optsuite.runner._options import RunOptions
from optsuite.runner._results import Result
from optsuite.storage import MissingFileError, Store
from optsuite.sweep import Cell


class Found(NamedTuple):
    """The cells of a run that have results on one kind of data."""

    source: str
    complete: list[Cell]
    """Cells that have an archive of just their curves."""
    incomplete: dict[Cell, StorageError]
    """Reason why a cell has no archive; one that lies there is older than its curves."""


def build(
    options: RunOptions, teller: Teller, cells: Iterable[Cell], results: Sequence[Result]
) -> list[Found]:
    """Archive complete cells and update the normalizers that they allow.

    A cell whose trials are all recorded has an archive, or a warning says why not.

    Args:
        options: Where results lie.
        teller: Told of what goes wrong; remembers which cells have an archive.
        cells: The cells that may have results.
        results: What became of their configs; a cell with a trial that failed is not complete.
    """
    found = []
    for source, members in _by_source(options, teller, cells, results).items():
        reasons = {cell: _archive(options, teller, cell, source, results) for cell in members}
        complete = [cell for cell, reason in reasons.items() if reason is None]
        teller.archived += complete
        root = options.store(source).archives
        updated = teller.attempt("normalizers", normalizers.update, names(complete), root)
        for problem in updated.problems if updated else ():
            teller.warn(problem)
        incomplete = {cell: reason for cell, reason in reasons.items() if reason is not None}
        found.append(Found(source, complete, incomplete))
    return found


def names(cells: Iterable[Cell]) -> list[tuple[str, str]]:
    """Return (task, hparam set) of each cell."""
    return [(cell.task_name, cell.hparam_set.name) for cell in cells]


def _archive(
    options: RunOptions, teller: Teller, cell: Cell, source: str, results: Sequence[Result]
) -> StorageError | None:
    """Archive a cell if it is complete, and return why it has no archive otherwise.

    The reason is told, unless a test has failed for it or not all of the cell was asked for.
    """
    mine = [result for result in results if result.cell_name == cell.name]
    if any(result.num_failed for result in mine):
        return MissingFileError(f"no archive of {cell.name}: some of its trials failed")
    try:
        built = archive_cell(cell, source, options.store(source))
    except Exception as error:  # noqa: BLE001 - the curves are recorded: nothing may fail the run now
        return _told(teller, StorageError(f"no archive of {cell.name}: {teller.explain(error)}"))
    if built.url is not None:
        return None
    text = f"no archive of {cell.name}: {built.why}"
    if built.problems:
        return _told(teller, StorageError(text))
    there = {result.label: result.num_trained + result.num_recorded for result in mine}
    reason = MissingFileError(text)
    repetitions = cell.hparam_set.repetitions
    is_due = all(there.get(config.label) == repetitions for config in cell.hparam_set.configs)
    return _told(teller, reason) if is_due else reason


def _told(teller: Teller, reason: StorageError) -> StorageError:
    teller.warn(str(reason))
    return reason


def _by_source(
    options: RunOptions, teller: Teller, cells: Iterable[Cell], results: Sequence[Result]
) -> dict[str, list[Cell]]:
    """Return the cells that have results, by their kind of data, without those whose data are missing."""
    known = {cell.name: cell for cell in cells}
    sources: dict[str, str] = {}
    for result in results:
        sources[result.cell_name] = result.source or sources.get(result.cell_name, "")
    by_source: dict[str, list[Cell]] = {}
    for name, recorded in sources.items():
        if name not in known:
            teller.warn(f"no archive of {name}: its task or set is registered in workers only")
        elif source := recorded or options.source(known[name]):
            by_source.setdefault(source, []).append(known[name])
    return by_source


def archive_cell(cell: Cell, source: str, store: Store) -> archives.Built:
    """Archive a cell if all of it is recorded; say why where it is not.

    Args:
        cell: The cell.
        source: Kind of data that it was trained on.
        store: Store of results on that kind of data.

    Raises:
        StorageError: Curves that do not fit together, or a failing read or write.
    """
    trial_ids = ids_of(cell.trials(), source)
    return archives.try_archive(cell.task_name, cell.hparam_set, store.curves, store.archives, trial_ids)
