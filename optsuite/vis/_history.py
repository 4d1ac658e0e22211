"""History of a store: losses and speed, night by night."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from optsuite._types import Array
from optsuite.vis import _style

_MOST_NAMED = 6  # cells in the legend, those that vary most
_PANELS = (("best_loss", "best loss"), ("seconds_per_step", "seconds a step"))


def draw_history(history: pd.DataFrame) -> Array:
    """Draw the best loss and the time of a step of each cell, relative to its median night.

    Args:
        history: Table of `comparison.record_night`.

    Returns:
        (2, 1), the axes. Times of different machines do not compare, so a change of device begins anew.
    """
    nights = list(dict.fromkeys(history["night"]))
    places = history["night"].map(nights.index)
    with _style.canvases(2, 1, 9, 6.4) as axes:
        for ax, (column, title) in zip(axes.flat, _PANELS, strict=True):
            keys = ["task", "set", "data_source", *(["device"] if column == "seconds_per_step" else [])]
            told = [key for key in keys if key in ("task", "set") or history[key].nunique() > 1]
            lines = {
                "\n".join(str(rows[key].iloc[0]) for key in told): _relative(places[rows.index], rows[column])
                for _, rows in history.groupby(keys, sort=False)
            }
            _draw_lines(ax, lines)
            _format(ax, nights, title)
    return axes


def _relative(places: "pd.Series[int]", values: "pd.Series[float]") -> tuple[Array, Array]:
    """Return nights, and how far values are from their median, in percent of it."""
    return places.to_numpy(), 100 * (values / values.median() - 1).to_numpy()


def _draw_lines(ax: Axes, lines: dict[str, tuple[Array, Array]]) -> None:
    def spread(name: str) -> float:
        known = lines[name][1][np.isfinite(lines[name][1])]
        return float(known.std()) if len(known) else 0.0

    named = sorted(lines, key=spread, reverse=True)[:_MOST_NAMED]
    styles = _style.set_styles(named, None, None)
    entries = []
    for name, (nights, percents) in lines.items():
        looks: dict[str, Any] = styles[name].line() if name in styles else {"color": _style.GRID}
        if len(nights) == 1:
            looks["marker"] = "o"
        ax.plot(nights, percents, zorder=2 if name in styles else 1, **looks)
        if name in styles:
            last = percents[np.isfinite(percents)][-1:]
            entries.append(_style.Entry(name, looks, float(last[0]) if len(last) else np.nan))
    ax.axhline(0, color=_style.INK, linewidth=0.8, zorder=0.5)
    _style.write_legend(ax, entries)


def _format(ax: Axes, nights: list[str], title: str) -> None:
    step = max(1, -(-len(nights) // 8))
    ticks = list(range(0, len(nights), step))
    ax.set_xticks(ticks, [nights[tick][5:10] for tick in ticks])
    ax.yaxis.set_major_formatter("{x:+.3g} %")
    ax.set_xlabel("night")
    _style.write_title(ax, f"{title}, against the median night")
