"""Numbers over all tasks, with intervals that are stratified by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from optsuite._types import Array
from optsuite.statistics._interval import Interval, effective_tasks, interval, share_limits
from optsuite.statistics._ranks import ranks
from optsuite.statistics._resample import Resampled, around

PROFILE_SCORES: Array = 2.0 ** np.linspace(-4, 4, 65)
"""(65,), scores at which profiles are told."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregate:
    """An optimizer over all tasks on which it has numbers."""

    num_tasks: int
    steps_ratio: Interval | None
    """Geometric mean of the steps ratio; None for the reference."""
    score: Interval
    """Interquartile mean of the score over tasks and seeds."""
    improvement: Interval | None
    """Probability of a better score than the reference's, of any two seeds on a task; None for itself."""
    rank: float
    """Average rank by final loss among the optimizers of a task, 1 is best; ties share theirs."""
    better_on: int
    """Number of tasks on which the interval of its steps ratio lies below 1."""
    worse_on: int
    profile: Array
    """(3, P): share of tasks and seeds with a score above each of `PROFILE_SCORES`, and its band."""


def interquartile_mean(scores: Array) -> Array:
    """Return the mean of the middle half, along the last axis.

    Source: Agarwal et al., 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice.
    """
    cut = scores.shape[-1] // 4
    means: Array = np.sort(scores, -1)[..., cut : scores.shape[-1] - cut].mean(-1)
    return means


def improvement(scores: Array, others: Array) -> Array:
    """Return the probability that one of `scores` is greater than one of `others`, ties half.

    Args:
        scores: (..., S).
        others: (..., R).
    """
    ours, its = scores[..., :, None], others[..., None, :]
    shares: Array = ((ours > its) + 0.5 * (ours == its)).mean((-2, -1))
    return shares


def aggregate(tasks: Sequence[Resampled], level: float = 0.95) -> dict[str, Aggregate]:
    """Aggregate optimizers over tasks; draws are independent by task, and combined draw by draw.

    Args:
        tasks: Numbers of each task, with one reference and number of draws.
        level: Share of intervals that shall hold the truth.
    """
    names = dict.fromkeys(name for task in tasks for name in task.optimizers)
    rows = [ranks(np.array([[task.final[name][0] for name in task.optimizers]]))[0] for task in tasks]
    rank_of = [dict(zip(task.optimizers, rank, strict=True)) for task, rank in zip(tasks, rows, strict=True)]
    return {name: _aggregate(name, tasks, rank_of, level) for name in names}


def _aggregate(
    name: str, tasks: Sequence[Resampled], rank_of: Sequence[Mapping[str, float]], level: float
) -> Aggregate:
    """Aggregate one optimizer."""
    its = [task for task in tasks if name in task.optimizers]
    compared = [task for task in its if name != task.reference]
    num_seeds, num_tasks = min(task.num_seeds for task in its), len(its)
    scores, of_all = (
        np.concatenate([by_name[name] for by_name in by_task], axis=1)
        for by_task in ([task.score for task in its], [task.score_of_all for task in its])
    )
    score = np.exp(around(np.log(interquartile_mean(scores)), np.log(interquartile_mean(of_all))))
    means = np.stack([task.score[name].mean(1) for task in its])
    above = around(_shares_above(scores), _shares_above(of_all))
    each = [interval(task.steps_ratio[name], task.num_seeds, level, log=True) for task in compared]
    ratio = better = None
    if compared:
        logs = np.log([task.steps_ratio[name] for task in compared])
        ratio = interval(np.exp(logs.mean(0)), num_seeds, level, log=True, num_tasks=effective_tasks(logs))
        values = _improvement(name, compared)[:, None]
        low, high = share_limits(values, num_seeds, level, num_tasks=num_tasks)
        better = Interval(float(values[0, 0]), float(low[0]), float(high[0]), level)
    return Aggregate(
        num_tasks=num_tasks,
        steps_ratio=ratio,
        score=interval(score, num_seeds, level, log=True, num_tasks=effective_tasks(means)),
        improvement=better,
        rank=float(np.mean([rank[name] for rank in rank_of if name in rank])),
        better_on=sum(one.high < 1 for one in each),
        worse_on=sum(one.low > 1 for one in each),
        profile=np.stack([above[0], *share_limits(above, num_seeds, level, num_tasks=num_tasks)]),
    )


def _shares_above(scores: Array) -> Array:
    """Return the shares of scores above each of `PROFILE_SCORES`.

    Args:
        scores: (1 + B, R).

    Returns:
        (1 + B, P).
    """
    return np.stack([(scores > score).mean(1) for score in PROFILE_SCORES], axis=1)


def _improvement(name: str, tasks: Sequence[Resampled]) -> Array:
    """Return the mean over tasks of the probability of a better score than the reference's, (1 + B,)."""
    drawn = np.mean([improvement(t.score[name], t.score[t.reference]) for t in tasks], axis=0)
    of_all = np.mean([improvement(t.score_of_all[name], t.score_of_all[t.reference]) for t in tasks], axis=0)
    return around(drawn, of_all)
