"""The losses of the training of a learned optimizer."""

import numpy as np
from matplotlib.axes import Axes

from optsuite import statistics
from optsuite._types import Array
from optsuite.vis import _style

_PARTS = 50  # the average looks back over one of so many parts of the training


def draw_meta_losses(
    loss_T: Array, ax: Axes | None = None, *, title: str = "", is_stand_in: bool = False
) -> Axes:
    """Draw the loss of every outer step, and its moving average.

    Args:
        loss_T: (T,), the losses.
        ax: Axes to draw on; a new figure if `None`.
        title: Title of the axes.
        is_stand_in: Whether the data are stand-ins, which is then written over the axes.
    """
    steps, decay = np.arange(len(loss_T)), 1 - 1 / max(1, len(loss_T) / _PARTS)
    style = _style.set_styles(["average"], None, None)["average"]
    with _style.canvas(ax, 8, 4.2) as ax:
        ax.plot(steps, loss_T, color=style.color, linewidth=0.4, alpha=0.4, label="each step")
        ax.plot(steps, statistics.ema(loss_T, decay), **style.line(), label="average")
        _style.format_steps(ax)
        ax.set_xlabel("outer step")
        ax.set_ylabel("meta-loss")
        _style.choose_log_scale(ax, float(np.min(loss_T)), float(np.max(loss_T)))
        ax.legend(loc="upper right")
        _style.write_title(ax, title)
        if is_stand_in:
            _style.stamp_stand_in(ax)
    return ax
