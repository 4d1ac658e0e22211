"""How all plots look: ink, colours, figures, titles, legends, the watermark."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType

    from optsuite._types import Array

INK = "#1b1b1f"
"""Of text, spines and ticks in figures of this room's own: replace it in an SVG to fit a dark page."""
GRID = "#d9d9de"
"""Of grid lines, likewise."""

SMALL = 7
"""Font size of what is said on the side, in points."""

# Any two differ by 0.1 or more in OKLab, also as people with a colour blindness see them (Machado et al.,
# 2009); each stands out from a white page and from a black one.
_PALETTE = ("#4253a6", "#cc4400", "#a6a621", "#2faceb", "#a6006f", "#7f7f7f", "#9c00eb", "#eb9898")
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))

_STYLE: dict[Any, Any] = {
    **sns.axes_style("whitegrid"),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "axes.edgecolor"), INK),
    "axes.formatter.useoffset": False,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.constrained_layout.hspace": 0.06,
    "legend.fontsize": 8,
    "legend.frameon": False,
}

_new_figure: ContextVar[Callable[..., Figure]] = ContextVar("new_figure", default=plt.figure)


class SetStyle(NamedTuple):
    """How a set is drawn and called in every axes of a figure."""

    label: str
    color: ColorType
    dashes: Any

    def line(self) -> dict[str, Any]:
        """As keyword arguments of a line."""
        return {"color": self.color, "linestyle": self.dashes, "linewidth": 1.6}


class Entry(NamedTuple):
    """A line of a legend."""

    text: str
    line: dict[str, Any]
    """Empty for what is not drawn."""
    height: float
    """Where the curve ends; NaN for what is not drawn."""


def set_styles(
    names: Sequence[str], labels: Sequence[str] | None, colors: Sequence[ColorType] | None
) -> dict[str, SetStyle]:
    """A style a set, by its place among the names, whatever else is drawn.

    Args:
        names: Of the sets.
        labels: Their names in legends; themselves if `None`.
        colors: Theirs, with solid lines; those of this room if `None`: 8, then the same 8 dashed, ...

    Raises:
        ValueError: There are more or fewer labels or colours than sets.
    """
    for kind, given in (("labels", labels), ("colors", colors)):
        if given is not None and len(given) != len(names):
            raise ValueError(
                f"`{kind}` needs one for each hparam set, {len(names)} ({', '.join(names)}), got {len(given)}"
            )
    places = range(len(names))
    dashes = [_DASHES[i // len(_PALETTE) % len(_DASHES)] if colors is None else "-" for i in places]
    chosen = [_PALETTE[i % len(_PALETTE)] for i in places] if colors is None else colors
    styles = map(SetStyle, names if labels is None else labels, chosen, dashes)
    return dict(zip(names, styles, strict=True))


@contextmanager
def without_pyplot() -> Iterator[None]:
    """New figures are none of pyplot's: they need no backend, open no window and need not be closed."""
    token = _new_figure.set(Figure)
    try:
        yield
    finally:
        _new_figure.reset(token)


@contextmanager
def canvas(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """The axes to draw on: those given, else new ones in this room's style.

    Args:
        ax: Kept as they are.
        width: Of a new figure, in inches.
        height: Likewise.
    """
    if ax is not None:
        yield ax
        return
    with canvases(1, 1, width, height) as axes:
        yield axes[0, 0]


@contextmanager
def canvases(rows: int, columns: int, width: float, height: float) -> Iterator[Array]:
    """New axes in one figure in this room's style, (rows, columns)."""
    with plt.rc_context(_STYLE):
        figure = _new_figure.get()(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            # Ticks are made when the figure is drawn, by the settings of then.
            ax.tick_params(labelsize=8, color=INK, labelcolor=INK, grid_color=GRID, grid_linewidth=0.7)
        yield axes


def write_title(ax: Axes, title: str, notes: Iterable[str] = ()) -> None:
    """Put a title over axes, and small notes between the two."""
    text = wrap_notes(ax, notes)
    if not text:
        ax.set_title(title)
        return
    ax.set_title(title, pad=8 + 1.35 * SMALL * (text.count("\n") + 1))
    ax.annotate(
        text,
        (0.5, 1),
        xytext=(0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=SMALL,
    )


def wrap_notes(ax: Axes, notes: Iterable[str]) -> str:
    """Notes in lines as wide as axes that a legend has made narrower, in small letters."""
    width = max(20, int(0.75 * size_pt(ax)[0] / (0.55 * SMALL)))
    return textwrap.fill("; ".join(notes), width, break_long_words=False)


def write_legend(ax: Axes, entries: Sequence[Entry]) -> None:
    """Put a legend at the right side, in the order in which the curves end, the highest first."""
    ranked = sorted(entries, key=lambda entry: math.inf if math.isnan(entry.height) else -entry.height)
    ax.legend(
        [legend_line(entry.line) for entry in ranked],
        [entry.text for entry in ranked],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )


def legend_line(line: dict[str, Any]) -> Line2D:
    """A line for a legend, invisible if it has no looks."""
    return Line2D([], [], **(line or {"linestyle": "none"}))


def stamp_stand_in(
    ax: Axes,
    *,
    bottom: float = 0,
    top: float = 1,
    color: ColorType | None = None,
    zorder: float = 1.7,
) -> None:
    """Write over axes that their data are stand-ins.

    Args:
        ax: The axes.
        bottom: Of the part that it is about, as a share of their height.
        top: Likewise.
        color: Of the letters; that of all text if `None`.
        zorder: Above the bands and behind the curves by default.
    """
    width, height = size_pt(ax)
    height *= top - bottom
    ax.text(
        0.5,
        (bottom + top) / 2,
        "STAND-IN DATA",
        transform=ax.transAxes,
        ha="center",
        va="center",
        rotation=0.8 * math.degrees(math.atan2(height, width)),
        fontsize=min(math.hypot(width, height) / 16, 0.8 * height),
        fontweight="bold",
        color=color,
        alpha=0.14,
        zorder=zorder,
        clip_on=True,
        in_layout=False,
    )


def runs(mask: Array) -> list[tuple[int, int]]:
    """Where a mask holds: first and one past the last of each run."""
    steps = np.diff(np.concatenate([[False], mask, [False]]).astype(int))
    starts, stops = (np.flatnonzero(steps == step).tolist() for step in (1, -1))
    return list(zip(starts, stops, strict=True))


def size_pt(ax: Axes) -> tuple[float, float]:
    """Width and height, in points."""
    box, scale = ax.get_window_extent(), 72 / ax.figure.dpi
    return box.width * scale, box.height * scale


def format_steps(ax: Axes) -> None:
    """Label the x axis as training steps."""
    ax.set_xlabel("training step")
    ax.margins(x=0)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")


def choose_log_scale(ax: Axes, low: float, high: float) -> None:
    """Make the y axis logarithmic if its limits are positive and more than 1.5 decades apart."""
    if not (low > 0 and high / low > 10**1.5):
        return
    ax.set_yscale("log")
    subs = (1, 2, 5) if high / low < 10**3 else (1,)
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_locator(ticker.NullLocator())
