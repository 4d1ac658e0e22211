"""Figures as the bytes of files."""

import io
import warnings
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optsuite._types import Array

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "optsuite",
    "svg.fonttype": "none",
    "path.simplify_threshold": 0.4,  # in pixels
    # Each text of an SVG lists all of these fonts; those after the first are as wide as it.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
}
_DPI = {"png": 150, "svg": 100}  # only the bands of an SVG have dots
_METADATA = {"png": {"Software": None}, "svg": {"Date": None}}


def render(drawn: Figure | Axes | Array, format: Literal["png", "svg"]) -> bytes:  # noqa: A002 - matplotlib's word
    """Return the bytes of an image file, the same whenever the same is drawn.

    Args:
        drawn: A figure, or the axes that a plot returned.
        format: `png` is white behind, at 150 dots an inch; `svg` is transparent, its text stays text.

    Raises:
        ValueError: There is no such format.
    """
    if format not in _METADATA:
        raise ValueError(f"`format` must be png or svg (got {format!r})")
    file = io.BytesIO()
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # A viewer of an SVG has fonts of its own.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        _figure_of(drawn).savefig(
            file,
            format=format,
            dpi=_DPI[format],
            bbox_inches="tight",
            transparent=format == "svg",
            metadata=_METADATA[format],
        )
    return file.getvalue()


def _figure_of(drawn: Figure | Axes | Array) -> Figure:
    if isinstance(drawn, Figure):
        return drawn
    ax: Axes = drawn.flat[0] if isinstance(drawn, np.ndarray) else drawn
    return ax.figure.figure  # the whole figure, also where the axes are of a subfigure
