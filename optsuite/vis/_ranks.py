"""Average ranks over tasks, and which of them do not differ."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from optsuite.vis import _style


def draw_ranks(
    ranks: Mapping[str, float],
    groups: Sequence[Sequence[str]] = (),
    p_value: float | None = None,
    ax: Axes | None = None,
    *,
    places: Sequence[int] | None = None,
) -> Axes:
    """Draw the average rank of each optimizer, a row each, the best on top.

    Args:
        ranks: Average rank over tasks by name; 1 is best. One that is NaN is left out.
        groups: Names of optimizers whose ranks do not differ significantly; bars beside the ranks join them.
        p_value: That of the test that all rank alike; None where it was not made.
        ax: Axes to draw on; a new figure if `None`.
        places: Places of the optimizers in a document, where they look alike in all its figures.

    Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006.
    """
    styles = _style.set_styles(list(ranks), None, None, places)
    order = sorted((name for name in ranks if math.isfinite(ranks[name])), key=lambda name: ranks[name])
    rows = {name: row for row, name in enumerate(order)}
    bars = [sorted(rows[name] for name in group if name in rows) for group in groups]
    bars = [bar for bar in bars if len(bar) > 1]
    last = max((ranks[name] for name in order), default=1)
    with _style.canvas(ax, 8, 1.3 + 0.26 * len(order)) as ax:
        for name, row in rows.items():
            ax.plot([1, ranks[name]], [row, row], color=styles[name].color, linewidth=0.8, alpha=0.5)
            ax.plot(ranks[name], row, "o", markersize=6, color=styles[name].color)
            ax.annotate(
                f"{ranks[name]:.2f}",
                (ranks[name], row),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        for i, bar in enumerate(bars):
            x = last + (last - 1 or 1) * (0.13 + 0.03 * i)
            ax.plot(
                [x, x], [bar[0] - 0.2, bar[-1] + 0.2], color=_style.INK, linewidth=2.5, solid_capstyle="round"
            )
        ax.set_yticks(list(rows.values()), order)
        ax.set_ylim(max(1, len(order)) - 0.5, -0.5)
        ax.set_xlim(left=0.95)
        ax.set_xlabel("average rank over tasks, 1 is best")
        ax.grid(visible=False, axis="y")
        notes = ["bars join ranks that do not differ significantly"] * bool(bars)
        notes += [] if p_value is None else [f"all rank alike: p = {p_value:.2g}"]
        _style.write_title(ax, "average ranks", notes)
    return ax
