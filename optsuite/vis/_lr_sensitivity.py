"""Final loss against learning rate."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.typing import ColorType

from optsuite import statistics
from optsuite._types import Array
from optsuite.statistics import TRAIN_LOSS, Results
from optsuite.vis import _cells, _style
from optsuite.vis._cells import Cell
from optsuite.vis._style import Entry, SetStyle

# For the crosses of a set and of all sets, as shares of the height of the axes.
_ROW, _ALL_ROWS = 0.028, 0.3


def plot_lr_sensitivity(
    task: str,
    opt_sets: str | Sequence[str],
    ax: Axes | None = None,
    *,
    labels: Sequence[str] | None = None,
    colors: Sequence[ColorType] | None = None,
    legend: bool = True,
    root: str | None = None,
) -> Axes:
    """Plot the loss of the last evaluation on training data against the learning rate.

    A line goes through the means over seeds, bars from the lowest to the highest seed; a star marks the best
    config. Crosses at the top, a row a set, mark the rates at which a seed diverged; the background is grey
    where one did of every set that has the rate. What is above the loss before training is cut off. Of
    configs that share a rate, the best is drawn. A set is not drawn if none share one and other
    hyperparameters differ, as in OptList.

    Args:
        task: Name of a task.
        opt_sets: Names or globs of hparam sets, read as archives.
        ax: Axes to draw on; a new figure if `None`.
        labels: Names of the sets in the legend, in their order.
        colors: Colours of the sets, in their order.
        legend: Show which line is which, right of the axes; without it, what is not drawn is said in a note.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: No archive can be read, or the storage cannot be reached.
        ValueError: Labels or colours do not go with the sets; `task` is not one task.
    """
    cells = _cells.read_cells(task, opt_sets, root)
    return draw_lr_sensitivity(cells, ax, labels=labels, colors=colors, legend=legend)


def draw_lr_sensitivity(
    results: Sequence[Cell],
    ax: Axes | None = None,
    *,
    labels: Sequence[str] | None = None,
    colors: Sequence[ColorType] | None = None,
    places: Sequence[int] | None = None,
    legend: bool = True,
) -> Axes:
    """Draw the plot of `plot_lr_sensitivity` from results of one task; see there.

    `places` are those of the sets in a document, where they look alike in all its figures.

    Raises:
        ValueError: Labels, colours or places do not go with the sets; results of no task or of several.
    """
    task = _cells.the_task_of(results)
    styles = _style.set_styles(_cells.sets_of(results), labels, colors, places)
    read = [cell for cell in results if isinstance(cell, Results) and has_lr_line(cell)]
    lines = {cell.hparam_set: lr_line(cell) for cell in read}
    with _style.canvas(ax, 8, max(4.2, 0.19 * len(styles))) as ax:
        ax.set(xlabel="learning rate", ylabel="final training loss")
        for name, line in lines.items():
            _draw_line(ax, line, styles[name])
        if lines:
            ax.set_xscale("log")
            _mark_divergence(ax, lines, styles)
            _set_limits(ax, read, lines)
        else:
            ax.set(xticks=[], yticks=[])
        entries = [_entry(cell, styles[cell.hparam_set], lines.get(cell.hparam_set)) for cell in results]
        undrawn = [] if legend else [entry.text for entry in entries if np.isnan(entry.height)]
        marks = ["star: best", "cross: a seed diverged", "bar: lowest to highest seed"] if lines else []
        _style.write_title(ax, task, [*marks, *_cells.say_differences(results), *undrawn])
        if _cells.any_stand_in(results):
            _style.stamp_stand_in(ax)
        if legend:
            _style.write_legend(ax, entries)
    return ax


def has_lr_line(results: Results) -> bool:
    """Whether `draw_lr_sensitivity` draws a line of these results."""
    return not _why_no_line(results)


def _why_no_line(results: Results) -> str:
    """Return why the loss is no function of the learning rate; empty if it is."""
    if not results.is_evaluated:
        return results.why_no_best
    lr_H = results.hparam("lr")
    if not (lr_H > 0).any():
        return "no learning rate"
    others = {repr(sorted({**config.hparams, "lr": 0}.items())) for config in results.configs}
    is_each_alone = len(others) > 1 and len(np.unique(lr_H)) == len(lr_H)
    return "more than the learning rate differs" if is_each_alone else ""


class LrLine(NamedTuple):
    """Final loss at each learning rate of a set, rising, each (K,)."""

    lr: Array
    mean: Array
    low: Array
    """Loss of the lowest seed."""
    high: Array
    diverged: Array
    """Whether a seed diverged."""
    best: int | None
    """Place of the best config; None if there is none, or another has its rate."""


def lr_line(results: Results) -> LrLine:
    """Return the line that `draw_lr_sensitivity` draws of results, of which `has_lr_line` holds."""
    lr_H, loss_HS = results.hparam("lr"), results.final[TRAIN_LOSS]
    rates = np.unique(lr_H[lr_H > 0])
    places = [np.flatnonzero(lr_H == rate) for rate in rates]
    picked = np.array([at[statistics.best_config(loss_HS[at]) or 0] for at in places], dtype=np.intp)
    loss_KS = loss_HS[picked]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, low, high = (f(loss_KS, axis=1) for f in (np.mean, np.min, np.max))
    diverged = np.any(results.diverged[picked], axis=1)
    best = np.flatnonzero(picked == results.best)
    return LrLine(rates, mean, low, high, diverged, int(best[0]) if len(best) else None)


def _draw_line(ax: Axes, line: LrLine, style: SetStyle) -> None:
    ax.plot(line.lr, line.mean, label=style.label, marker="o", markersize=3, **style.line())
    ax.vlines(line.lr, line.low, line.high, color=style.color, linewidth=0.8)
    if line.best is not None:
        at = (line.lr[line.best], line.mean[line.best])
        ax.plot(*at, marker="*", markersize=12, color=style.color, markeredgecolor="white", zorder=3)


def _mark_divergence(ax: Axes, lines: dict[str, LrLine], styles: dict[str, SetStyle]) -> None:
    crossed = {name: line for name, line in lines.items() if line.diverged.any()}
    row = _row_height(len(crossed))
    for i, (name, line) in enumerate(crossed.items()):
        lr = line.lr[line.diverged]
        ax.plot(
            lr,
            np.full(len(lr), 1 - row * (i + 0.7)),
            transform=ax.get_xaxis_transform(),
            marker="x",
            markersize=4.5,
            markeredgewidth=1.2,
            linestyle="none",
            color=styles[name].color,
        )
    rates = np.unique(np.concatenate([line.lr for line in lines.values()]))
    survived = np.concatenate([line.lr[~line.diverged] for line in lines.values()])
    middles = np.sqrt(rates[1:] * rates[:-1])
    edges = [rates[0] / 1.6, *middles, rates[-1] * 1.6]
    ax.set_xlim(edges[0], edges[-1])
    for first, last in _style.runs(~np.isin(rates, survived)):
        ax.axvspan(edges[first], edges[last], color=_style.GRID, alpha=0.5, linewidth=0, zorder=0.3)


def _set_limits(ax: Axes, results: Sequence[Results], lines: dict[str, LrLine]) -> None:
    """Set limits from the lowest loss to that before training, with room for the crosses on top."""
    values = np.concatenate([values for line in lines.values() for values in (line.low, line.high)])
    values = values[np.isfinite(values)].astype(np.float64)
    if not len(values):
        return
    starts = [cell.best_curves[TRAIN_LOSS][:, 0].max() for cell in results if cell.best is not None]
    start = max(starts, default=np.inf)
    low, high = float(values.min()), float(min(values.max(), start + 0.1 * abs(start)))
    if low >= high:
        margin = 0.05 * abs(low) or 1.0
        low, high = low - margin, high + margin
    _style.choose_log_scale(ax, low, high)
    num_rows = len([line for line in lines.values() if line.diverged.any()])
    below, above = 0.04, _row_height(num_rows) * (num_rows + 1)
    transform = ax.yaxis.get_transform()
    bottom, top = transform.transform(np.array([low, high]))
    unit = (top - bottom) / (1 - below - above)
    ax.set_ylim(*transform.inverted().transform([bottom - below * unit, top + above * unit]))


def _row_height(num_rows: int) -> float:
    return min(_ROW, _ALL_ROWS / max(num_rows, 1))


def _entry(cell: Cell, style: SetStyle, line: LrLine | None) -> Entry:
    if line is None:
        why = _why_no_line(cell) if isinstance(cell, Results) else cell.why_no_best
        return Entry(f"{style.label} ({why})", {}, np.nan)
    if _cells.has_best(cell):
        return Entry(style.label, style.line(), float(cell.final[TRAIN_LOSS][cell.best].mean()))
    return Entry(f"{style.label} ({cell.why_no_best})", style.line(), np.nan)
