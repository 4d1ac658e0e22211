"""Statistics of archives: final losses, the best setting, and how sure they are; pure functions of arrays."""

from optsuite.statistics._evaluations import Evaluations, evaluations
from optsuite.statistics._interval import Interval
from optsuite.statistics._results import (
    TRAIN_LOSS,
    Absent,
    Results,
    Summary,
    best_config,
    ema,
    evaluated_loss,
    read_cells,
    read_results,
    summarize,
    summarize_curves,
)

__all__ = [
    "TRAIN_LOSS",
    "Absent",
    "Evaluations",
    "Interval",
    "Results",
    "Summary",
    "best_config",
    "ema",
    "evaluated_loss",
    "evaluations",
    "read_cells",
    "read_results",
    "summarize",
    "summarize_curves",
]
