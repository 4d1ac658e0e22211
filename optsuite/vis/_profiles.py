"""Performance profiles: how often an optimizer is at least so good."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from optsuite._types import Array
from optsuite.vis import _style
from optsuite.vis._style import Entry


def draw_profiles(
    scores_P: Array,
    profiles: Mapping[str, Array],
    ax: Axes | None = None,
    *,
    places: Sequence[int] | None = None,
) -> Axes:
    """Draw the share of tasks and seeds on which an optimizer has at least a score, with its band.

    Args:
        scores_P: (P,), rising.
        profiles: (3, P) by name: the share, and the lower and upper limits of its band.
        ax: Axes to draw on; a new figure if `None`.
        places: Places of the optimizers in a document, where they look alike in all its figures.

    Source: Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
    """
    styles = _style.set_styles(list(profiles), None, None, places)
    span = profile_span(list(profiles.values()))
    scores_P = scores_P[span]
    with _style.canvas(ax, 8, max(4.2, 0.19 * len(styles))) as ax:
        for name, profile in profiles.items():
            share, low, high = profile[:, span]
            ax.fill_between(
                scores_P,
                low,
                high,
                color=styles[name].color,
                alpha=_style.band_alpha(len(styles)),
                linewidth=0,
            )
            ax.plot(scores_P, share, **styles[name].line())
        if len(scores_P) and scores_P[0] < 1 < scores_P[-1]:
            ax.axvline(1, color=_style.INK, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1.6)
        ax.margins(x=0)
        if scores_P[0] > 0:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_locator(ticker.NullLocator())
        ax.set(xlabel="score", ylabel="share of tasks and seeds with at least this score", ylim=(0, 1.02))
        _style.write_title(ax, "performance profiles", ["dashed: the reference's final loss, score 1"])
        entries = [
            Entry(name, styles[name].line(), float(share.mean())) for name, (share, *_) in profiles.items()
        ]
        _style.write_legend(ax, entries)
    return ax


def profile_span(profiles: Sequence[Array]) -> slice:
    """Return the scores from the last that all reach always to the first that none ever does.

    Args:
        profiles: (3, P) each, as in `draw_profiles`.
    """
    share = np.array([profile[0] for profile in profiles])
    told = np.flatnonzero(((share < 1) & (share > 0)).any(axis=0) | (np.ptp(share, axis=0) > 0))
    if not len(told):
        return slice(None)
    return slice(max(0, int(told[0]) - 2), int(told[-1]) + 3)
