"""Many tasks on one scale: the steps that a baseline needs for the same loss."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.typing import ColorType

from optsuite import statistics
from optsuite._types import Array
from optsuite.statistics import TRAIN_LOSS, Results
from optsuite.vis import _cells, _style
from optsuite.vis._cells import Cell
from optsuite.vis._style import Entry, SetStyle
from optsuite.words import listed

_Normalizers: TypeAlias = Mapping[str, Callable[[Array], Array]]

_BASELINE: dict[str, Any] = {"color": _style.INK, "linewidth": 0.8, "linestyle": (0, (6, 3))}


def plot_normalized(
    tasks: str | Sequence[str],
    opt_sets: str | Sequence[str],
    normalizers: _Normalizers,
    ax: Axes | None = None,
    *,
    ema: float = 0.95,
    labels: Sequence[str] | None = None,
    colors: Sequence[ColorType] | None = None,
    legend: bool = True,
    root: str | None = None,
) -> Axes:
    """Plot how many steps a baseline needs for the loss of each set, mean over tasks, at each training step.

    A curve is of the best config on each task: its loss, mean over seeds, smoothed, normalised, mean over
    tasks. Above the dashed line a set is ahead of the baseline. All sets are averaged over the same tasks,
    those with a normalizer and an archive of every set that has any; those left out are named in the figure.
    Where all configs of a set diverged, it counts as a NaN loss does, 0 steps.

    Where a set's evaluations differ from task to task, its curve is at the steps that all have in common.
    A normalizer knows no step after its `horizon`, if it has one: there all is cut, at the smallest of them.

    Args:
        tasks: Names or globs of tasks.
        opt_sets: Names or globs of hparam sets, read as archives.
        normalizers: Functions by task that give the baseline's steps to a loss, float32 (E,), e.g. those of
            `optsuite.normalizers`.
        ax: Axes to draw on; a new figure if `None`.
        ema: Decay of the moving average over evaluations, in [0, 1), of the loss before it is normalised; by
            default that of the normalizers, so that their baseline lies on the dashed line.
        labels: Names of the sets in the legend, in their order.
        colors: Colours of the sets, in their order.
        legend: Show which curve is which, right of the axes; without it, what is not drawn is said in a note.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: No archive can be read, or the storage cannot be reached.
        ValueError: Labels or colours do not go with the sets.
    """
    cells = _cells.read_cells(tasks, opt_sets, root)
    return draw_normalized(cells, normalizers, ax, ema=ema, labels=labels, colors=colors, legend=legend)


def draw_normalized(
    results: Sequence[Cell],
    normalizers: _Normalizers,
    ax: Axes | None = None,
    *,
    ema: float = 0.95,
    labels: Sequence[str] | None = None,
    colors: Sequence[ColorType] | None = None,
    places: Sequence[int] | None = None,
    legend: bool = True,
) -> Axes:
    """Draw the plot of `plot_normalized` from results; see there.

    `places` are those of the sets in a document, where they look alike in all its figures.

    Raises:
        ValueError: Labels, colours or places do not go with the sets; there are no results.
    """
    if not results:
        raise ValueError("this plot needs the results of a cell or more (got none)")
    styles = _style.set_styles(_cells.sets_of(results), labels, colors, places)
    used, left_out = _same_tasks(results, normalizers)
    shown = [cell for cells in used.values() for cell in cells]
    last = max((cell.num_steps for cell in shown), default=0)
    end = min([last, *(getattr(normalizers[task], "horizon", last) for task in _cells.tasks_of(shown))])
    steps_of = functools.partial(_steps, normalizers=normalizers, decay=ema)
    with _style.canvas(ax, 8, max(4.2, 0.19 * len(styles))) as ax:
        entries = [_draw_set(ax, styles[name], cells, steps_of, end) for name, cells in used.items()]
        entries += [_absent_entry(results, styles[name], name) for name in styles if name not in used]
        if shown:
            ax.plot([0, end], [0, end], zorder=1.8, **_BASELINE)
            entries.append(Entry("baseline", _BASELINE, end))
        _style.format_steps(ax)
        ax.set_ylabel("steps of the baseline to the same loss")
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.set_ylim(bottom=0)
        num_tasks = len(_cells.tasks_of(shown))
        undrawn = [] if legend else [entry.text for entry in entries if not entry.line]
        cut = [f"cut at step {end:,.0f}, the normalizer's last"] if end < last else []
        notes = [*_cells.say_differences(shown), *cut, *left_out, *undrawn]
        _style.write_title(ax, f"mean over {num_tasks} task{'s' * (num_tasks != 1)}", notes)
        if _cells.any_stand_in(shown):
            _style.stamp_stand_in(ax)
        if legend:
            _style.write_legend(ax, entries)
    return ax


def _same_tasks(
    results: Sequence[Cell], normalizers: _Normalizers
) -> tuple[dict[str, list[Results]], list[str]]:
    """Return the results to draw of each set, all on the same tasks, and words for the tasks left out."""
    there = {
        (cell.task, cell.hparam_set): cell
        for cell in results
        if isinstance(cell, Results) and cell.is_evaluated
    }
    names = _cells.sets_of(there.values())
    tasks = _cells.tasks_of(results)
    complete = [task for task in tasks if all((task, name) in there for name in names)]
    drawn = [task for task in complete if task in normalizers]
    left_out = {
        "an archive of every set": [task for task in tasks if task not in complete],
        "a normalizer": [task for task in complete if task not in normalizers],
    }
    words = [f"left out without {lack}: {listed(tasks, 5)}" for lack, tasks in left_out.items() if tasks]
    return {name: [there[task, name] for task in drawn] for name in names}, words


def _draw_set(
    ax: Axes, style: SetStyle, cells: list[Results], steps_of: Callable[[Results], Array], end: float
) -> Entry:
    if not cells:
        return Entry(f"{style.label} (no task left)", {}, np.nan)
    xs = functools.reduce(np.intersect1d, [cell.eval_xs for cell in cells])
    xs = xs[xs <= end]
    mean = np.mean([steps_of(cell)[np.isin(cell.eval_xs, xs)] for cell in cells], axis=0)
    ax.plot(xs, mean, label=style.label, **style.line())
    num_diverged = sum(cell.best is None for cell in cells)
    words = f" (diverged on {num_diverged} of {len(cells)} tasks)" if num_diverged else ""
    return Entry(style.label + words, style.line(), float(mean[-1]))


def _absent_entry(results: Sequence[Cell], style: SetStyle, name: str) -> Entry:
    first = next(cell for cell in results if cell.hparam_set == name)
    return Entry(f"{style.label} ({first.why_no_best})", {}, np.nan)


def _steps(cell: Results, normalizers: _Normalizers, decay: float) -> Array:
    if cell.best is None:
        return normalizers[cell.task](np.full(cell.eval_xs.shape, np.nan, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        loss_E = statistics.ema(cell.best_curves[TRAIN_LOSS].mean(axis=0), decay)
    return normalizers[cell.task](loss_E)
