"""Archives and normalizers, which are made of the curves."""

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from optsuite import archives, curves, normalizers
from optsuite.hparam_sets import ids_of
from optsuite.runner._events import Teller
from optsuite.runner._options import RunOptions
from optsuite.runner._results import Result
from optsuite.storage import Store
from optsuite.sweep import Cell


class Found(NamedTuple):
    """The cells of a run that have results on one kind of data."""

    source: str
    complete: list[Cell]
    """Cells that have an archive of just their curves."""
    incomplete: list[Cell]
    """Cells that lack curves; an archive of them that lies there is older than their curves."""


def build(
    options: RunOptions, teller: Teller, cells: Iterable[Cell], results: Sequence[Result]
) -> list[Found]:
    """Archive complete cells and update the normalizers that they allow.

    Args:
        options: Where results lie.
        teller: Told of what goes wrong; remembers which cells have an archive.
        cells: The cells that may have results.
        results: What became of their configs; a cell with a trial that failed is not complete.
    """
    lost = {result.cell_name for result in results if result.num_failed}
    found = []
    for source, members in _by_source(options, teller, cells, results).items():
        is_complete = {
            cell: cell.name not in lost and _is_archived(options, teller, cell, source) for cell in members
        }
        complete = [cell for cell in members if is_complete[cell]]
        root = options.store(source).archives
        updated = teller.attempt("normalizers", normalizers.update, names(complete), root)
        for problem in updated.problems if updated else ():
            teller.warn(problem)
        found.append(Found(source, complete, [cell for cell in members if not is_complete[cell]]))
    return found


def names(cells: Iterable[Cell]) -> list[tuple[str, str]]:
    """Return (task, hparam set) of each cell."""
    return [(cell.task_name, cell.hparam_set.name) for cell in cells]


def _is_archived(options: RunOptions, teller: Teller, cell: Cell, source: str) -> bool:
    """Archive a cell if it is complete, and return whether it is."""
    url = teller.attempt(f"archive of {cell.name}", archive_cell, cell, source, options.store(source))
    if url is not None:
        teller.archived.append(cell)
    return url is not None


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


def archive_cell(cell: Cell, source: str, store: Store) -> str | None:
    """Archive a cell if all of it is recorded.

    Args:
        cell: The cell.
        source: Kind of data that it was trained on.
        store: Store of results on that kind of data.

    Returns:
        The URL of the archive, or None if the cell is not complete.

    Raises:
        StorageError: Curves that do not fit together, or a failing read or write.
    """
    trial_ids = ids_of(cell.trials(), source)
    with warnings.catch_warnings():
        # A file that cannot be read is already the outcome of its trial.
        warnings.simplefilter("ignore", curves.CorruptFileWarning)
        return archives.build_archive(
            cell.task_name, cell.hparam_set, store.curves, store.archives, trial_ids=trial_ids
        )
