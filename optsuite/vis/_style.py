"""Looks that all plots share: ink, colours, figures, titles, legends, the watermark."""

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

from optsuite._types import Array

INK = "#1b1b1f"
"""Colour of text, spines and ticks in new figures: replace it in an SVG to fit a dark page."""
GRID = "#d9d9de"
"""Colour of grid lines in new figures."""

SMALL = 7
"""Font size of notes, in points."""

# Any two differ by 0.1 or more in OKLab, also as people with a colour blindness see them (Machado et al.,
# 2009); each stands out from a white page and from a black one.
_PALETTE = ("#4253a6", "#cc4400", "#a6a621", "#2faceb", "#a6006f", "#7f7f7f", "#9c00eb", "#eb9898")
_DASHES = ((), (4, 1.5), (1, 1), (5, 1.5, 1, 1.5))

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
    """Looks and name of a set in every axes of a figure."""

    label: str
    color: ColorType
    dashes: Any

    def line(self) -> dict[str, Any]:
        """Return the looks as keyword arguments of a line."""
        return {"color": self.color, "linestyle": self.dashes, "linewidth": 1.6}


class Entry(NamedTuple):
    """Line of a legend."""

    text: str
    line: dict[str, Any]
    """Looks of the line; empty for what is not drawn."""
    height: float
    """Height at which the curve ends; NaN for what is not drawn."""


def look(place: int) -> tuple[str, Sequence[float]]:
    """Return the colour and dashes of the line at a place: 8 colours, solid, then the same 8 dashed, ....

    Dashes are lengths of strokes and gaps, in widths of the line; none for a solid one.
    """
    return _PALETTE[place % len(_PALETTE)], _DASHES[place // len(_PALETTE) % len(_DASHES)]


def set_styles(
    names: Sequence[str],
    labels: Sequence[str] | None,
    colors: Sequence[ColorType] | None,
    places: Sequence[int] | None = None,
) -> dict[str, SetStyle]:
    """Return a style for each set, by its place among the names, whatever else is drawn.

    Args:
        names: Names of the sets.
        labels: Names of the sets in legends; `names` if `None`.
        colors: Colours of the sets, with solid lines; if `None`, the `look` of their places.
        places: Places of the sets in a document, where they look alike in all its figures; if `None`, among
            the names.

    Raises:
        ValueError: There are more or fewer labels, colours or places than sets.
    """
    for kind, given in (("labels", labels), ("colors", colors), ("places", places)):
        if given is not None and len(given) != len(names):
            raise ValueError(
                f"`{kind}` needs one for each hparam set, {len(names)} ({', '.join(names)}), got {len(given)}"
            )
    looks = [look(place) for place in (range(len(names)) if places is None else places)]
    chosen = [color for color, _ in looks] if colors is None else colors
    dashes = [(0, dash) if dash and colors is None else "-" for _, dash in looks]
    styles = map(SetStyle, names if labels is None else labels, chosen, dashes)
    return dict(zip(names, styles, strict=True))


def band_alpha(num_bands: int) -> float:
    """Return an opacity at which so many bands, all in one place, leave lines visible."""
    return 0.12 * math.pow(min(1.0, 3 / num_bands), 1.5)


@contextmanager
def without_pyplot() -> Iterator[None]:
    """Make new figures without pyplot: they need no backend, open no window and need not be closed."""
    token = _new_figure.set(Figure)
    try:
        yield
    finally:
        _new_figure.reset(token)


@contextmanager
def canvas(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Give the axes to draw on: those given, else new ones in this room's style.

    Args:
        ax: Axes to use as they are.
        width: Width of a new figure, in inches.
        height: Height of a new figure, in inches.
    """
    if ax is not None:
        yield ax
        return
    with canvases(1, 1, width, height) as axes:
        yield axes[0, 0]


@contextmanager
def canvases(rows: int, columns: int, width: float, height: float) -> Iterator[Array]:
    """Give new axes in one figure in this room's style, (rows, columns)."""
    with plt.rc_context(_STYLE):
        figure = _new_figure.get()(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            # Ticks are made only when the figure is drawn, by the rc parameters of that moment.
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
    """Wrap notes to lines as wide as axes that a legend has made narrower, in small letters."""
    width = max(20, int(0.75 * size_pt(ax)[0] / (0.55 * SMALL)))
    return textwrap.fill("; ".join(notes), width, break_long_words=False)


def write_legend(ax: Axes, entries: Sequence[Entry]) -> None:
    """Put a legend at the right side, in the order in which the curves end, the highest first."""
    ranked = sorted(entries, key=lambda entry: math.inf if math.isnan(entry.height) else -entry.height)
    lines = [legend_line(entry.line) for entry in ranked]
    texts = [entry.text for entry in ranked]
    ax.legend(lines, texts, loc="center left", bbox_to_anchor=(1, 0.5))


def legend_line(line: dict[str, Any]) -> Line2D:
    """Return a line for a legend, invisible if it has no looks."""
    return Line2D([], [], **(line or {"linestyle": "none"}))


def stamp_stand_in(
    ax: Axes, *, bottom: float = 0, top: float = 1, color: ColorType | None = None, zorder: float = 1.7
) -> None:
    """Write over axes that their data are stand-ins.

    Args:
        ax: Axes to write on.
        bottom: Lower end of the part whose data are stand-ins, as a share of the axes' height.
        top: Upper end of that part, as a share of the axes' height.
        color: Colour of the letters; that of all text if `None`.
        zorder: Place in the drawing order; by default above the bands and behind the curves.
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
    """Return the first place and one past the last of each run of a mask."""
    steps = np.diff(np.concatenate([[False], mask, [False]]).astype(int))
    starts, stops = (np.flatnonzero(steps == step).tolist() for step in (1, -1))
    return list(zip(starts, stops, strict=True))


def size_pt(ax: Axes) -> tuple[float, float]:
    """Return the width and height of axes, in points."""
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
