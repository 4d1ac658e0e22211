"""Plots in seaborn's style: curves, learning rates, final losses, baseline steps; ranks and more of verdicts.

Each plot of archives has two functions: `plot_*` takes names and reads the archives, `draw_*` takes results
of `statistics.read_results`, so that one reading serves many plots. The best of k settings, profiles and
ranks are drawn from the numbers of a verdict. All return the axes; they show and save nothing (`render` gives
the bytes of a file) and leave matplotlib's rc parameters alone. Without an `ax` the figure comes from pyplot,
in the style of this room; close it with `plt.close(ax.figure)`, or draw it `without_pyplot`. With an `ax`,
the rest of its figure is left as it is.

Notes say in words what cannot be drawn: sets without an archive, sets whose configs all diverged or were not
evaluated after training, unequal horizons or numbers of seeds. Results on stand-in data bear a watermark.
"""

from optsuite.vis._best_of import draw_best_of
from optsuite.vis._curves import draw_curves, plot_tasks_and_sets
from optsuite.vis._final_losses import draw_final_losses, plot_final_losses
from optsuite.vis._history import draw_history
from optsuite.vis._lr_sensitivity import (
    LrLine,
    draw_lr_sensitivity,
    has_lr_line,
    lr_line,
    plot_lr_sensitivity,
)
from optsuite.vis._meta_losses import draw_meta_losses
from optsuite.vis._normalized import draw_normalized, plot_normalized
from optsuite.vis._profiles import draw_profiles, profile_span
from optsuite.vis._ranks import draw_ranks
from optsuite.vis._render import render
from optsuite.vis._style import GRID, INK, look, without_pyplot

__all__ = [
    "GRID",
    "INK",
    "LrLine",
    "draw_best_of",
    "draw_curves",
    "draw_final_losses",
    "draw_history",
    "draw_lr_sensitivity",
    "draw_meta_losses",
    "draw_normalized",
    "draw_profiles",
    "draw_ranks",
    "has_lr_line",
    "look",
    "lr_line",
    "plot_final_losses",
    "plot_lr_sensitivity",
    "plot_normalized",
    "plot_tasks_and_sets",
    "profile_span",
    "render",
    "without_pyplot",
]
