"""Training curves of the best config of each set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.typing import ColorType

from optsuite import statistics
from optsuite._types import Array
from optsuite.statistics import TRAIN_LOSS, Results
from optsuite.vis import _cells, _style
from optsuite.vis._cells import Cell
from optsuite.vis._style import Entry, SetStyle

_FULL_BANDS = 8
"""Number of sets whose bands can lie over one another at full opacity."""


def plot_tasks_and_sets(
    task: str | Sequence[str],
    opt_sets: str | Sequence[str],
    ax: Axes | None = None,
    alpha_on_confidence: float = 0.1,
    confidence_alpha: float = 1.0,
    ema: float = 0.9,
    initial_shift: float = 500,
    legend: bool = True,
    labels: Sequence[str] | None = None,
    colors: Sequence[ColorType] | None = None,
    always_include_first_opt: bool = False,
    *,
    root: str | None = None,
) -> Axes | Array:
    """Plot the training loss of the best config of each set, mean over seeds.

    Args:
        task: A name, or a list of names and globs for a grid of axes with one legend.
        opt_sets: Names or globs of hparam sets, read as archives.
        ax: Axes to draw on; a new figure if `None`. A grid has its own figure.
        alpha_on_confidence: Opacity of the band from the lowest to the highest seed; 0: no band, no edges. Of
            more than 8 sets the bands are fainter, so that they do not cover one another.
        confidence_alpha: Opacity of the thin edges of the band, fainter where the band is.
        ema: Decay of the moving average over evaluations, in [0, 1), of mean, lowest and highest alike.
        initial_shift: Step whose loss is the top of the y axis: the lowest of all sets, each at its highest
            seed, in the first evaluation after this step. 500 suits runs of 10,000 steps; shorter runs need
            less.
        legend: Show which curve is which, right of the axes; without it, what is not drawn is said in a note.
        labels: Names of the sets in the legend, in their order.
        colors: Colours of the sets, in their order.
        always_include_first_opt: End the y axis no lower than the first set asks for.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Returns:
        Axes; for a list of tasks an array of axes, (rows, columns), in which `.flat[i]` shows the i-th task
        and the axes left over are blank.

    Raises:
        StorageError: No archive can be read, or the storage cannot be reached.
        ValueError: Labels or colours do not go with the sets; `ax` with a list of tasks; a glob of several
            tasks that is not in a list.

    Source: learned_optimization, `baselines/vis.py: plot_tasks_and_sets`, with its choice of config, averages
        and limits of y. Differs: the legend is in the order of the curves; y is logarithmic where its limits
        are 1.5 decades apart or more; where the limits are no interval (the original fails), they hold all
        that is drawn; no curve is drawn for a set all of whose configs diverged.
    """
    if ax is not None and not isinstance(task, str):
        raise ValueError(
            f"a list of tasks is drawn in a figure of its own: leave `ax` out or name one task (got {task!r})"
        )
    cells = _cells.read_cells(task, opt_sets, root)
    styles = _style.set_styles(_cells.sets_of(cells), labels, colors)
    look = _Look(
        styles, alpha_on_confidence, confidence_alpha, ema, initial_shift, legend, always_include_first_opt
    )
    return _draw_one(cells, ax, look) if isinstance(task, str) else _draw_grid(cells, look)


def draw_curves(
    results: Sequence[Cell],
    ax: Axes | None = None,
    *,
    alpha_on_confidence: float = 0.1,
    confidence_alpha: float = 1.0,
    ema: float = 0.9,
    initial_shift: float = 500,
    legend: bool = True,
    labels: Sequence[str] | None = None,
    colors: Sequence[ColorType] | None = None,
    places: Sequence[int] | None = None,
    always_include_first_opt: bool = False,
) -> Axes:
    """Draw the plot of `plot_tasks_and_sets` from results of one task; see there.

    `places` are those of the sets in a document, where they look alike in all its figures.

    Raises:
        ValueError: Labels, colours or places do not go with the sets; results of no task or of several.
    """
    styles = _style.set_styles(_cells.sets_of(results), labels, colors, places)
    look = _Look(
        styles, alpha_on_confidence, confidence_alpha, ema, initial_shift, legend, always_include_first_opt
    )
    return _draw_one(results, ax, look)


@dataclass(frozen=True)
class _Look:
    """Options of `plot_tasks_and_sets` that hold for all its axes."""

    styles: dict[str, SetStyle]
    """Style of each set."""
    alpha_on_confidence: float
    confidence_alpha: float
    ema: float
    initial_shift: float
    legend: bool
    always_include_first_opt: bool

    @property
    def least_height(self) -> float:
        """Height of a figure whose legend has room for all sets, in inches."""
        return 0.19 * len(self.styles)


class _Curve(NamedTuple):
    """Averaged loss, each (E,)."""

    xs: Array
    mean: Array
    low: Array
    high: Array


def _draw_one(cells: Sequence[Cell], ax: Axes | None, look: _Look) -> Axes:
    _cells.the_task_of(cells)
    with _style.canvas(ax, 8, max(4.2, look.least_height)) as ax:
        entries = _draw_panel(ax, cells, look, tells_all=not look.legend)
        ax.set_ylabel("training loss")
        if look.legend:
            _style.write_legend(ax, entries)
    return ax


def _draw_grid(cells: Sequence[Cell], look: _Look) -> Array:
    tasks = _cells.tasks_of(cells)
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    width, height = 3.5 * columns + 2.4 * look.legend, max(2.7 * rows, look.least_height)
    with _style.canvases(rows, columns, width, height) as axes:
        for i, ax in enumerate(axes.flat):
            if i >= len(tasks):
                ax.set_axis_off()
                continue
            of_task = [cell for cell in cells if cell.task == tasks[i]]
            _draw_panel(ax, of_task, look, tells_all=True)
            if i % columns == 0:
                ax.set_ylabel("training loss")
            if i + columns < len(tasks):
                ax.set_xlabel("")
        if look.legend:
            lines = [_style.legend_line(style.line()) for style in look.styles.values()]
            names = [style.label for style in look.styles.values()]
            axes[0, 0].figure.legend(lines, names, loc="outside center right")
    return axes


def _draw_panel(ax: Axes, cells: Sequence[Cell], look: _Look, tells_all: bool) -> list[Entry]:
    """Draw the curves of one task and return a legend's lines; `tells_all` notes what is not drawn."""
    curves = {cell.hparam_set: _average(cell, look.ema) for cell in cells if _cells.has_best(cell)}
    for name, curve in curves.items():
        _draw_curve(ax, curve, name, look)
    _style.format_steps(ax)
    if curves:
        is_first = look.always_include_first_opt and cells[0].hparam_set in curves
        low, high = _limits(list(curves.values()), look.initial_shift, is_first)
        _style.choose_log_scale(ax, low, high)
        ax.set_ylim(low, high)
    entries = [_entry(cell, look.styles[cell.hparam_set], curves.get(cell.hparam_set)) for cell in cells]
    undrawn = [entry.text for entry in entries if np.isnan(entry.height)] if tells_all else []
    _style.write_title(ax, cells[0].task, [*_cells.say_differences(cells), *undrawn])
    if _cells.any_stand_in(cells):
        _style.stamp_stand_in(ax)
    return entries


def _average(cell: Results, decay: float) -> _Curve:
    loss_SE = cell.best_curves[TRAIN_LOSS]
    with np.errstate(over="ignore", invalid="ignore"):  # a loss may be infinite for a while
        mean, low, high = (statistics.ema(f(loss_SE, axis=0), decay) for f in (np.mean, np.min, np.max))
    return _Curve(cell.eval_xs, mean, low, high)


def _draw_curve(ax: Axes, curve: _Curve, name: str, look: _Look) -> None:
    style, share = look.styles[name], min(1, _FULL_BANDS / len(look.styles))
    if look.alpha_on_confidence:
        # Bands would be most of an SVG, so they are an image in it.
        band: dict[str, Any] = {"color": style.color, "rasterized": True, "zorder": 1.5}
        ax.fill_between(
            curve.xs, curve.low, curve.high, alpha=share * look.alpha_on_confidence, linewidth=0, **band
        )
        for edge in (curve.low, curve.high):
            ax.plot(curve.xs, edge, linewidth=0.3, alpha=share * look.confidence_alpha, **band)
    ax.plot(curve.xs, curve.mean, label=style.label, **style.line())


def _limits(curves: Sequence[_Curve], initial_shift: float, includes_first: bool) -> tuple[float, float]:
    """Return the original's limits of y, or those of all curves where these are no interval."""
    low = float(np.fmin.reduce([np.fmin.reduce(curve.low) for curve in curves]))
    # argmax gives the first step where there is none that late.
    tops = [float(curve.high[np.argmax(curve.xs > initial_shift)]) for curve in curves]
    high = max(np.fmin.reduce(tops), tops[0] if includes_first else -np.inf)
    if np.isfinite([low, high]).all() and low < high:
        return low, high
    shown = np.concatenate([values for _, *three in curves for values in three])
    shown = shown[np.isfinite(shown)].astype(np.float64)
    if not len(shown):
        return 0, 1
    low, high = float(shown.min()), float(shown.max())
    margin = 0.05 * ((high - low) or abs(low) or 1)
    return low - margin, high + margin


def _entry(cell: Cell, style: SetStyle, curve: _Curve | None) -> Entry:
    if curve is None:
        return Entry(f"{style.label} ({cell.why_no_best})", {}, np.nan)
    finite_E = np.isfinite(curve.mean)
    if finite_E.all():
        return Entry(style.label, style.line(), float(curve.mean[-1]))
    lost = curve.xs[np.argmin(finite_E)]
    return Entry(f"{style.label} (not finite from step {lost:,})", style.line(), np.nan)
