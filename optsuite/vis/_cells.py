"""The cells of a plot: reading them, and the words for what cannot be drawn."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypeGuard

from optsuite import archives, statistics
from optsuite.archives import Absent
from optsuite.statistics import Results

Cell: TypeAlias = Results | Absent


def read_cells(tasks: str | Sequence[str], opt_sets: str | Sequence[str], root: str | None) -> list[Cell]:
    """Read archives, at least one.

    Raises:
        StorageError: All are missing or cannot be read; says which there are.
        ValueError: No task or no set is named.
    """
    cells = statistics.read_results(tasks, opt_sets, root)
    if not cells:
        raise ValueError(f"name a task and an hparam set or more to plot (got {tasks!r} and {opt_sets!r})")
    absent = [cell for cell in cells if isinstance(cell, Absent)]
    if len(absent) == len(cells):
        raise archives.explained(absent[0])
    return cells


def tasks_of(cells: Iterable[Cell]) -> list[str]:
    """Return the names of the tasks, in order."""
    return list(dict.fromkeys(cell.task for cell in cells))


def sets_of(cells: Iterable[Cell]) -> list[str]:
    """Return the names of the sets, in order."""
    return list(dict.fromkeys(cell.hparam_set for cell in cells))


def the_task_of(cells: Sequence[Cell]) -> str:
    """Return the name of the one task.

    Raises:
        ValueError: There is no task, or there are several.
    """
    tasks = tasks_of(cells)
    if len(tasks) != 1:
        raise ValueError(
            f"this plot needs results of one task (got {', '.join(tasks) or 'none'}); "
            "`plot_tasks_and_sets` makes a grid of a list of tasks"
        )
    return tasks[0]


def has_best(cell: Cell) -> TypeGuard[Results]:
    """Return whether there is a best config to draw."""
    return isinstance(cell, Results) and cell.best is not None


def say_differences(cells: Iterable[Cell]) -> list[str]:
    """Return words for horizons and numbers of seeds, where they differ."""
    there = [cell for cell in cells if isinstance(cell, Results)]
    horizons = sorted({cell.num_steps for cell in there})
    seeds = sorted({cell.diverged.shape[1] for cell in there})
    words = []
    if len(horizons) > 1:
        words.append(f"horizons: {', '.join(f'{steps:,}' for steps in horizons)} steps")
    if len(seeds) > 1:
        words.append(f"seeds: {seeds[0]} to {seeds[-1]}")
    return words


def any_stand_in(cells: Iterable[Cell]) -> bool:
    """Return whether generated data are among them."""
    return any(isinstance(cell, Results) and cell.is_stand_in for cell in cells)
