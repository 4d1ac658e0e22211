"""Loss after so many trials: how good an optimizer is with little tuning."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from optsuite.statistics import Interval
from optsuite.vis import _style
from optsuite.vis._style import Entry


def draw_best_of(
    best_of: Mapping[str, Sequence[Interval]],
    ax: Axes | None = None,
    *,
    title: str = "",
    places: Sequence[int] | None = None,
    is_stand_in: bool = False,
) -> Axes:
    """Draw the final loss of the best of k settings, which are drawn at random, with its interval.

    Args:
        best_of: Losses for k = 1, 2, ... by name; one that is not finite is not drawn.
        ax: Axes to draw on; a new figure if `None`.
        title: Title of the axes.
        places: Places of the optimizers in a document, where they look alike in all its figures.
        is_stand_in: Whether the data are stand-ins, which is then written over the axes.
    """
    styles = _style.set_styles(list(best_of), None, None, places)
    with _style.canvas(ax, 8, max(4.2, 0.19 * len(styles))) as ax:
        entries, shown = [], [np.empty(0)]
        for name, intervals in best_of.items():
            value, low, high = np.array([interval[:3] for interval in intervals], float).reshape(-1, 3).T
            value = np.where(np.isfinite(value), value, np.nan)
            k = np.arange(1, len(value) + 1)
            ax.plot(k, value, marker="o", markersize=3, **styles[name].line())
            ax.fill_between(
                k, low, high, color=styles[name].color, alpha=_style.band_alpha(len(styles)), linewidth=0
            )
            there = value[np.isfinite(value)]
            shown.append(there)
            words = "" if len(there) else " (no finite loss)"
            entries.append(Entry(name + words, styles[name].line(), there[-1] if len(there) else np.nan))
        losses = np.concatenate(shown)
        if len(losses):
            _style.choose_log_scale(ax, float(losses.min()), float(losses.max()))
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        ax.set(xlabel="settings tried", ylabel="final loss of the best")
        _style.write_title(ax, title, ["mean over draws of so many settings, with its interval"])
        _style.write_legend(ax, entries)
        if is_stand_in:
            _style.stamp_stand_in(ax)
    return ax
