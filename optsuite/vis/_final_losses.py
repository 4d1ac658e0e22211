"""Final losses of many tasks and sets as a heat map."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba

from optsuite._types import Array
from optsuite.archives import Absent
from optsuite.curves import EVAL_SPLITS
from optsuite.errors import UnknownNameError
from optsuite.statistics import Results
from optsuite.vis import _cells, _style
from optsuite.vis._cells import Cell

_WORDS = {"train": "training", "outer_valid": "outer validation", "test": "test"}
_COLORS = sns.blend_palette(["#f5f9fd", "#1f5a9c"], as_cmap=True)
_SCALE = Normalize(0, np.log(2))
_MOST_COLUMNS, _LEAST_BAR_PT = 8, 95
_EXCESS_TICKS = (0, 0.1, 0.25, 0.5, 1)
# Written on cells, which keep their colours on any page.
_DARK, _LIGHT = "#1a1a1a", "#ffffff"
_EMPTY, _DIVERGED = "#dededf", "#f6cdc4"


def plot_final_losses(
    tasks: str | Sequence[str],
    opt_sets: str | Sequence[str],
    ax: Axes | None = None,
    *,
    split: str = "train",
    root: str | None = None,
) -> Axes:
    """Plot a heat map of the best config's loss in the last evaluation, mean over seeds: task x set.

    Losses of different tasks or horizons do not compare, so a cell is coloured by how far it is above the
    best of its task with as many steps, which is bold. Cells without a loss say why. Where there are more
    sets than tasks, and more than 8, sets are the rows and tasks the columns, so that names stay legible.

    Args:
        tasks: Names or globs of tasks, the rows.
        opt_sets: Names or globs of hparam sets, the columns.
        ax: Axes to draw on; if `None`, a new figure that grows with the rows and columns.
        split: Split of the data: train, outer_valid or test. The best config is by training data in any case.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: No archive can be read, or the storage cannot be reached.
        UnknownNameError: There is no such split.
    """
    return draw_final_losses(_cells.read_cells(tasks, opt_sets, root), ax, split=split)


def draw_final_losses(
    results: Sequence[Cell],
    ax: Axes | None = None,
    *,
    split: str = "train",
    labels: Sequence[str] | None = None,
) -> Axes:
    """Draw the plot of `plot_final_losses` from results; see there.

    `labels` are names of the sets, in their order.

    Raises:
        UnknownNameError: There is no such split.
        ValueError: There are no results, or labels do not go with the sets.
    """
    if split not in EVAL_SPLITS:
        raise UnknownNameError("split", split, EVAL_SPLITS)
    if not results:
        raise ValueError("a heat map needs the results of a cell or more (got none)")
    tasks, sets = _cells.tasks_of(results), _cells.sets_of(results)
    by_name = {(cell.task, cell.hparam_set): cell for cell in results}
    rows = [[by_name.get((task, name)) for name in sets] for task in tasks]
    are_stand_ins = [_cells.any_stand_in(filter(None, row)) for row in rows]
    names = [task + " (stand-in)" * is_one for task, is_one in zip(tasks, are_stand_ins, strict=True)]
    is_tall = len(sets) > max(len(tasks), _MOST_COLUMNS)
    shown = [style.label for style in _style.set_styles(sets, labels, None).values()]
    beside, above = (shown, names) if is_tall else (names, shown)
    width = 1.6 + 0.075 * max(map(len, beside)) + 0.78 * len(above) + 0.03 * max(map(len, above)) * is_tall
    height = 1.2 + 0.05 * max(map(len, above)) + 0.27 * len(beside)
    with _style.canvas(ax, width, height) as ax:
        _draw_cells(ax, rows, split, is_tall)
        horizons = {cell.num_steps for cell in results if isinstance(cell, Results)}
        same_steps = "\nwith as many steps" if len(horizons) > 1 else ""
        _add_color_bar(ax, min(1, 9 / len(beside)), f"above the best\nof the task{same_steps}")
        _name_rows_and_columns(ax, beside, above)
        ax.set_title(f"final {_WORDS[split]} loss")
        ax.set_xlabel(_style.wrap_notes(ax, _cells.say_differences(results)), fontsize=_style.SMALL)
        _stamp(ax, np.array(are_stand_ins), is_tall)
    return ax


def _stamp(ax: Axes, are_stand_ins: Array, is_tall: bool) -> None:
    """Write over the tasks of stand-in data; over all where tasks are columns, too narrow for words."""
    spans = [(0, 1)] * bool(are_stand_ins.any()) if is_tall else _style.runs(are_stand_ins)
    num_rows = 1 if is_tall else len(are_stand_ins)
    for first, last in spans:
        bottom, top = 1 - last / num_rows, 1 - first / num_rows
        _style.stamp_stand_in(ax, bottom=bottom, top=top, color=_DARK, zorder=5)


def _draw_cells(ax: Axes, rows: list[list[Cell | None]], split: str, is_tall: bool) -> None:
    losses = np.array([[_loss(cell, split) for cell in row] for row in rows])
    best = _best(losses, rows)
    colors = _colors(losses, best)
    for place in np.ndindex(losses.shape):
        (row, column), (down, right) = place, place[:: -1 if is_tall else 1]
        cell, loss = rows[row][column], losses[place]
        text = f"{loss:.4g}" if np.isfinite(loss) else _why_no_loss(cell, split)
        if text == "diverged":
            colors[place] = to_rgba(_DIVERGED)
        ax.text(
            right + 0.5,
            down + 0.5,
            text,
            ha="center",
            va="center",
            color=_DARK if colors[place][:3].mean() > 0.55 else _LIGHT,
            fontsize=8 if np.isfinite(loss) else _style.SMALL,
            fontweight="bold" if loss == best[place] else "normal",
        )
    ax.pcolormesh(colors.swapaxes(0, 1) if is_tall else colors, edgecolors="white", linewidth=0.8)
    ax.invert_yaxis()


def _loss(cell: Cell | None, split: str) -> float:
    """Return the final loss of a cell; NaN if there is none."""
    key = f"eval/{split}/loss"
    if cell is None or not _cells.has_best(cell) or key not in cell.final:
        return np.nan
    with np.errstate(over="ignore", invalid="ignore"):
        loss = float(cell.final[key][cell.best].mean())
    return loss if np.isfinite(loss) else np.nan  # -inf is not the best of a row


def _best(losses: Array, rows: list[list[Cell | None]]) -> Array:
    """Return the smallest loss in each cell's row among as many steps, (tasks, sets); NaN if none."""
    steps = np.array([[cell.num_steps if isinstance(cell, Results) else 0 for cell in row] for row in rows])
    same = steps[:, :, None] == steps[:, None, :]
    best: Array = np.fmin.reduce(np.where(same, losses[:, None, :], np.nan), axis=-1)
    return best


def _why_no_loss(cell: Cell | None, split: str) -> str:
    if cell is None:
        return "missing"
    if isinstance(cell, Absent):
        return cell.reason
    if not cell.is_evaluated:
        return "not evaluated"
    if f"eval/{split}/loss" not in cell.final:
        return "not recorded"
    return "not finite" if _cells.has_best(cell) else "diverged"


def _colors(losses: Array, best: Array) -> Array:
    """Return colours of the share by which a loss is above the best, (tasks, sets, 4)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = (losses - best) / np.abs(best)
        colors: Array = _COLORS(_SCALE(np.where(losses == best, 0, np.log1p(excess))))
    colors[~np.isfinite(losses)] = to_rgba(_EMPTY)
    return colors


def _add_color_bar(ax: Axes, height: float, label: str) -> None:
    height = max(height, _LEAST_BAR_PT / _style.size_pt(ax)[1])  # few rows are lower than its label is long
    bar = ax.figure.colorbar(
        ScalarMappable(_SCALE, _COLORS),
        cax=ax.inset_axes((1.02, 1 - height, 16 / _style.size_pt(ax)[0], height)),
        extend="max",
        ticks=np.log1p(_EXCESS_TICKS),
    )
    bar.set_ticklabels([f"{excess:.0%}" for excess in _EXCESS_TICKS])
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=_style.SMALL, length=0, labelcolor=_style.INK)
    bar.outline.set_visible(False)


def _name_rows_and_columns(ax: Axes, rows: list[str], columns: list[str]) -> None:
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=30, ha="left", rotation_mode="anchor")
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    sns.despine(ax=ax, left=True, bottom=True)
