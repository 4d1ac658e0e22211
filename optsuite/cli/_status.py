"""The command `status`: what is recorded, failed, being trained and stopped in a store."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Iterator

from optsuite import data, storage, sweep
from optsuite.cli._own_sets import add_own_sets
from optsuite.cli._results import recorded_sets
from optsuite.cli._text import explained, print_table
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import HParamSet, get_hparam_set
from optsuite.storage import MissingFileError, Store, UnreachableError
from optsuite.sweep import Cell, CellStatus
from optsuite.words import counted, shown

_HEAD = ("task", "hparam set", "data", "recorded", "diverged", "failed", "running", "stopped")
_MOST_STEPS, _MOST_REPETITIONS = 10**15, 10_000  # more are not trained by us


def status(args: argparse.Namespace) -> int:
    """Print a row for each cell that the store knows something of, and what its groups and failures say."""
    add_own_sets(args)
    sources: tuple[data.Source, ...] = (args.data,) if args.data else ("real", "synthetic")
    rows, lines = list[tuple[str, ...]]([_HEAD]), list[str]()
    for source in sources:
        store = Store.at(args.storage, args.archives, source, args.precision)
        for task, name in _names(args, store, source):
            try:
                cell = Cell(task, _set_of(name), args.precision)
                found = sweep.status_of(cell, source, store)
            except UnreachableError:
                raise
            except OptsuiteError as error:  # such as a session's own set, of which this one was not told
                lines.append(f"{shown(f'{task}-{name}', 200)}: not known here: {explained(error)}")
                continue
            rows.append(_row(cell, source, found))
            lines += _lines(cell, found)
    if len(rows) == 1 and not lines:
        root = Store.at(args.storage, args.archives, sources[0], args.precision).curves
        raise MissingFileError(f"nothing is recorded or being trained of these in `{root}`")
    print_table(rows)
    print("\n".join(["", *lines] if lines else []), end="\n" if lines else "")
    return 0


def _names(args: argparse.Namespace, store: Store, source: data.Source) -> Iterator[tuple[str, str]]:
    """Give task and set of the cells that have curves or groups and that the arguments name, sorted."""
    shared = storage.list_folders(storage.shared_dir(store.curves))
    for task in fnmatch.filter(sorted({*storage.list_tasks(store.curves), *shared}), args.task):
        begun = {group.cell_name for group in sweep.read_groups(store, task)}
        begun |= {failure.cell_name for failure in sweep.read_failures(store, task).values()}
        names = {cell.removeprefix(f"{task}-") for cell in begun} | {
            *recorded_sets(task, store.curves, source)
        }
        for name in sorted(
            name for name in names if any(fnmatch.fnmatchcase(name, one) for one in args.sets)
        ):
            yield task, name


def _set_of(name: str) -> HParamSet:
    """Return a set by its name, which a file says.

    Raises:
        OptsuiteError: There is none, or it has more repetitions than anybody trains.
    """
    found = get_hparam_set(name)
    if found.repetitions > _MOST_REPETITIONS:
        raise OptsuiteError(f"needed at most {_MOST_REPETITIONS:,} repetitions, got {found.repetitions:,}")
    return found


def _row(cell: Cell, source: data.Source, found: CellStatus) -> tuple[str, ...]:
    counts = found.num_diverged, len(found.failures), found.num_running, found.num_stopped
    return (
        cell.task_name,
        cell.hparam_set.name,
        "real" if source == "real" else "stand-in",
        f"{found.num_recorded} of {found.num_trials}",
        *(str(count) if count else "-" for count in counts),
    )


def _lines(cell: Cell, found: CellStatus) -> Iterator[str]:
    for group in found.groups:
        what = f"{cell.name}: {counted(group.num_trials, 'trial')}"
        saved = "saved" if group.is_saved else "nothing saved yet"
        if group.holder is None:
            yield f"{what} stopped, {saved}: run again to go on"
        elif group.holder.is_dead:
            yield f"{what} left by {group.holder}, which died, {saved}: run again to go on"
        else:
            done, total = (_count(group.holder.facts.get(name)) for name in ("done", "total"))
            yield f"{what} trained by {group.holder}, {done:,} of {total:,} trial-steps of its job, {saved}"
    causes: dict[str, int] = {}
    for cause in found.failures.values():
        causes[cause] = causes.get(cause, 0) + 1
    for cause, count in causes.items():
        # Of a file, so that it may hold anything.
        words = "; ".join(shown(line, 1000) for line in explained(OptsuiteError(cause)).splitlines())
        yield f"{cell.name}: {counted(count, 'trial')} failed: {words}"


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < _MOST_STEPS else 0
