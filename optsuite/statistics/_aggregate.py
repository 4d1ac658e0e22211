"""Numbers over all tasks, with intervals that are stratified by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from optsuite._types import Array
from optsuite.statistics._interval import Interval, interval, limits
from optsuite.statistics._ranks import ranks
from optsuite.statistics._resample import Resampled

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
    """Probability that it has a better score than the reference, on a task and with any seed each; None for the
    reference."""
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
    return np.sort(scores, -1)[..., cut : scores.shape[-1] - cut].mean(-1)


def improvement(scores: Array, others: Array) -> Array:
    """Return the probability that one of `scores` is greater than one of `others`, ties half.

    Args:
        scores: (..., S).
        others: (..., R).
    """
    ours, its = scores[..., :, None], others[..., None, :]
    return ((ours > its) + 0.5 * (ours == its)).mean((-2, -1))


def aggregate(tasks: Sequence[Resampled], level: float = 0.95) -> dict[str, Aggregate]:
    """Aggregate optimizers over tasks; draws are independent by task, and combined draw by draw.

    Args:
        tasks: Numbers of each task, with one reference and number of draws.
        level: Share of intervals that shall hold the truth.
    """
    names = dict.fromkeys(name for task in tasks for name in task.optimizers)
    by_task = [ranks(np.array([[task.final[name][0] for name in task.optimizers]]))[0] for task in tasks]
    rank_of = [
        dict(zip(task.optimizers, rank, strict=True)) for task, rank in zip(tasks, by_task, strict=True)
    ]
    return {name: _aggregate(name, tasks, rank_of, level) for name in names}


def _aggregate(name: str, tasks: Sequence[Resampled], rank_of: Sequence[Mapping[str, float]], level: float) -> Aggregate:  # fmt: skip
    """Aggregate one optimizer."""
    its = [task for task in tasks if name in task.optimizers]
    num_seeds = min(task.num_seeds for task in its)
    log_ratios = [np.log(task.steps_ratio[name]) for task in its if name != task.reference]
    each = [interval(np.exp(ratio), task.num_seeds, level, log=True) for ratio, task in zip(log_ratios, its)]
    beats = [
        improvement(task.score[name], task.score[task.reference]) for task in its if name != task.reference
    ]
    scores = np.concatenate([task.score[name] for task in its], axis=1)
    above = np.stack([(scores > score).mean(1) for score in PROFILE_SCORES], axis=1)
    with_level = {"num_seeds": num_seeds, "level": level, "num_tasks": len(its)}
    band = limits(above, **with_level) if num_seeds > 1 else np.full((2, above.shape[1]), np.nan)
    return Aggregate(
        num_tasks=len(its),
        steps_ratio=interval(np.exp(np.mean(log_ratios, 0)), log=True, **with_level) if log_ratios else None,
        score=interval(interquartile_mean(scores), log=True, **with_level),
        improvement=interval(np.mean(beats, 0), **with_level) if beats else None,
        rank=float(np.mean([rank[name] for rank in rank_of if name in rank])),
        better_on=sum(one.high < 1 for one in each),
        worse_on=sum(one.low > 1 for one in each),
        profile=np.stack([above[0], *np.clip(band, 0, 1)]),
    )
