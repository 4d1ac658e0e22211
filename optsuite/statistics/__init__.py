"""Statistics of archives: final losses, the best setting, and how sure they are; pure functions of arrays."""

from optsuite.statistics._aggregate import (
    PROFILE_SCORES,
    Aggregate,
    aggregate,
    improvement,
    interquartile_mean,
)
from optsuite.statistics._costs import flops_ratio, time_ratio
from optsuite.statistics._evaluations import Evaluations, evaluations
from optsuite.statistics._interval import Interval, effective_tasks, interval
from optsuite.statistics._ranks import RankTest, rank_test, ranks
from optsuite.statistics._resample import NUM_RESAMPLES, Resampled, resample
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
from optsuite.statistics._rules import RULES, Rule, last_losses
from optsuite.statistics._tuning import Edge, best_of_k, edge, plateau

__all__ = [
    "NUM_RESAMPLES",
    "PROFILE_SCORES",
    "RULES",
    "TRAIN_LOSS",
    "Absent",
    "Aggregate",
    "Edge",
    "Evaluations",
    "Interval",
    "RankTest",
    "Resampled",
    "Results",
    "Rule",
    "Summary",
    "aggregate",
    "best_config",
    "best_of_k",
    "edge",
    "effective_tasks",
    "ema",
    "evaluated_loss",
    "evaluations",
    "flops_ratio",
    "improvement",
    "interquartile_mean",
    "interval",
    "last_losses",
    "plateau",
    "rank_test",
    "ranks",
    "read_cells",
    "read_results",
    "resample",
    "summarize",
    "summarize_curves",
    "time_ratio",
]
