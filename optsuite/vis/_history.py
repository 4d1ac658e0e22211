"""History of a store: losses and speed, night by night."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from optsuite._types import Array
from optsuite.vis import _style

_MOST_NAMED = 12  # cells in the legend, those that moved most
_PANELS = (("best_loss", "best loss"), ("seconds_per_step", "seconds a step"))


def draw_history(history: pd.DataFrame) -> Array:
    """Draw the best loss and the time of a step of each cell, relative to its first night.

    Args:
        history: Table of `comparison.record_night`.

    Returns:
        (1, 2), the axes. Times of different machines do not compare, so a change of device begins anew.
    """
    nights = list(dict.fromkeys(history["night"]))
    places = history["night"].map(nights.index)
    with _style.canvases(1, 2, 11, 4.2) as axes:
        for ax, (column, title) in zip(axes.flat, _PANELS, strict=True):
            keys = ["task", "set", "data_source", *(["device"] if column == "seconds_per_step" else [])]
            lines = {
                "/".join(str(part) for part in key[:2]): _relative(places[rows.index], rows[column])
                for key, rows in history.groupby(keys, sort=False)
            }
            _draw_lines(ax, lines)
            _format(ax, nights, title)
    return axes


def _relative(places: "pd.Series[int]", values: "pd.Series[float]") -> tuple[Array, Array]:
    """Return nights, and values in percent of the first one that is known."""
    known = values.dropna()
    first = known.iloc[0] if len(known) else np.nan
    return places.to_numpy(), 100 * (values.to_numpy() / first - 1)


def _draw_lines(ax: Axes, lines: dict[str, tuple[Array, Array]]) -> None:
    def size(name: str) -> float:
        return float(np.nanmax(np.abs(lines[name][1]), initial=0))

    named = sorted(lines, key=size, reverse=True)[:_MOST_NAMED]
    styles = _style.set_styles(named, None, None)
    entries = []
    for name, (nights, percents) in lines.items():
        looks: dict[str, Any] = styles[name].line() if name in styles else {"color": _style.GRID}
        ax.plot(nights, percents, marker="o", markersize=3, zorder=2 if name in styles else 1, **looks)
        if name in styles:
            last = percents[np.isfinite(percents)][-1:]
            entries.append(
                _style.Entry(name.replace("/", "\n"), looks, float(last[0]) if len(last) else np.nan)
            )
    ax.axhline(0, color=_style.INK, linewidth=0.8, zorder=0.5)
    _style.write_legend(ax, entries)


def _format(ax: Axes, nights: list[str], title: str) -> None:
    step = max(1, -(-len(nights) // 5))
    ticks = list(range(0, len(nights), step))
    ax.set_xticks(ticks, [nights[tick][5:10] for tick in ticks])
    ax.yaxis.set_major_formatter("{x:+.3g} %")
    ax.set_xlabel("night")
    _style.write_title(ax, f"{title}, relative to the first night")
