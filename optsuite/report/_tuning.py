"""Tuning of each cell, from a verdict, or by the default rule from the last evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optsuite import statistics
from optsuite.report._words import shown
from optsuite.statistics import RULES, TRAIN_LOSS, Evaluations, Interval, Results
from optsuite.verdict import Entry

_RULE = RULES["last"]
"""Rule of results without a verdict, by which `Results.best` is chosen too."""


class Tuning(NamedTuple):
    """Outcome of the search for the best setting."""

    best_of: Sequence[Interval]
    """Loss of the best of k = 1, 2, ..., H settings."""
    plateau: tuple[float, float] | None
    """Learning rates between which it is nearly as good."""
    is_at_edge: bool
    """Whether the best setting is at the edge of its grid."""


def tuning_of(one: Results, entry: Entry | None) -> Tuning:
    """Return the tuning of a cell that has a best setting."""
    if entry is not None:
        return Tuning(entry.best_of, entry.plateau, bool(entry.edge))
    last = _last(one)
    best_of = statistics.best_of_k(last, _RULE, range(1, len(one.configs) + 1))
    return Tuning(best_of, statistics.plateau(last, _RULE), statistics.edge(last, _RULE) is not None)


def _last(one: Results) -> Evaluations:
    """Return the first and last evaluations of a cell, on training data, all there is of every setting."""
    final_HS = one.final[TRAIN_LOSS].astype(np.float64)
    start_S = one.best_curves[TRAIN_LOSS][:, 0].astype(np.float64)
    losses = np.stack([np.broadcast_to(start_S, final_HS.shape), final_HS], axis=-1)
    return Evaluations(
        task=shown(one.task),
        hparam_set=one.hparam_set,
        source="own",
        configs=one.configs,
        seeds=np.arange(final_HS.shape[1]),
        data_source=one.data_source or "real",
        schedule=one.schedule,
        num_steps=one.num_steps,
        xs=one.eval_xs[[0, -1]],
        losses={"train": losses},
        accuracies={},
        diverged=one.diverged,
        seconds_per_step=None,
        flops_per_step=None,
        device="",
        origin=one.url,
    )
