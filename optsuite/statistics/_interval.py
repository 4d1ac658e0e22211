"""The value that every uncertain number is, and how it is made of bootstrap draws."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from optsuite._types import Array


class Interval(NamedTuple):
    """Estimate with its confidence interval."""

    value: float
    low: float
    """Lower limit; NaN where there is no interval, as with one seed."""
    high: float
    level: float = 0.95
    """Share of intervals that hold the truth."""


def interval(
    values: Array, num_seeds: int, level: float = 0.95, *, log: bool = False, num_tasks: float = 1
) -> Interval:
    """Make the interval of a number from its bootstrap draws.

    The mean of the draws is off by as much as the number itself is thought to be off (bias); Student's t
    and the factor sqrt(n / (n - 1)) make up for few seeds.

    Args:
        values: (1 + B,), the number for the seeds as they are, then for each draw, as `Resampled` has them.
        num_seeds: Number of seeds n that were drawn from.
        level: Share of intervals that shall hold the truth.
        log: Whether the number is a ratio, whose logarithm is treated.
        num_tasks: Number of tasks whose seeds were drawn independently, or `effective_tasks` of them.

    Returns:
        Interval, which holds the number; without limits if there are fewer than two seeds, or a value is not
        finite.
    """
    low, high = limits(values[:, None], num_seeds, level, log=log, num_tasks=num_tasks)
    return Interval(float(values[0]), float(low[0]), float(high[0]), level)


def limits(
    values: Array, num_seeds: int, level: float = 0.95, *, log: bool = False, num_tasks: float = 1
) -> tuple[Array, Array]:
    """Return lower and upper limits of many numbers, as `interval` does.

    Args:
        values: (1 + B, N).
        num_seeds: As for `interval`, as are the others.
        level: As for `interval`.
        log: As for `interval`.
        num_tasks: As for `interval`.

    Returns:
        (N,) and (N,).
    """
    if num_seeds < 2:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    is_lost = ~np.isfinite(values).all(0)
    values = np.where(is_lost, 1.0, values)
    values = np.log(values) if log else values
    first, draws = values[0], values[1:]
    center = 2 * first - draws.mean(0)
    spread = draws.std(0) * np.sqrt(num_seeds / (num_seeds - 1))
    width = t_quantile((1 + level) / 2, num_tasks * (num_seeds - 1)) * spread
    low, high = np.minimum(center - width, first), np.maximum(center + width, first)
    both = (np.exp(low), np.exp(high)) if log else (low, high)
    return np.where(is_lost, np.nan, both[0]), np.where(is_lost, np.nan, both[1])


def share_limits(
    values: Array, num_seeds: int, level: float = 0.95, *, num_tasks: int = 1
) -> tuple[Array, Array]:
    """Return lower and upper limits of shares, which are in doubt also where all seeds say the same.

    They are Wilson's, for as many independent runs as would spread so much, but no more than there were.

    Args:
        values: (1 + B, N), shares as `limits` takes them.
        num_seeds: As for `interval`, as are the others.
        level: As for `interval`.
        num_tasks: As for `interval`.

    Source: Wilson, 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    first, draws = values[0], values[1:]
    if num_seeds < 2:
        return np.full_like(first, np.nan), np.full_like(first, np.nan)
    center = (2 * first - draws.mean(0)).clip(0, 1)
    num_runs = num_seeds * num_tasks
    prior = (center * num_runs + 1) / (num_runs + 2)  # neither 0 nor 1
    variance = draws.var(0) * num_seeds / (num_seeds - 1)
    runs = prior * (1 - prior) / np.maximum(variance, prior * (1 - prior) / num_runs)
    scale = t_quantile((1 + level) / 2, num_tasks * (num_seeds - 1)) ** 2 / runs
    middle = (center + scale / 2) / (1 + scale)
    width = np.sqrt(scale * (center * (1 - center) + scale / 4)) / (1 + scale)
    return np.minimum(middle - width, first), np.maximum(middle + width, first)


def effective_tasks(by_task: Array) -> float:
    """Return the number of equally uncertain tasks whose mean would be as uncertain as that of tasks.

    It is small where few of the tasks have nearly all of the spread.

    Args:
        by_task: (T, 1 + B), a number of each task.

    Source: Welch, 1947, The Generalization of Student's Problem when Several Different Population Variances
    Are Involved.
    """
    variances = by_task[:, 1:].var(1)
    most = variances.max()
    return (
        float((variances / most).sum() ** 2 / ((variances / most) ** 2).sum()) if most > 0 else len(by_task)
    )


@lru_cache
def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t distribution.

    Args:
        probability: Probability, 0.5 or more.
        degrees: Degrees of freedom, 1 or more.
    """
    angles = np.linspace(
        0, np.pi / 2, 100_001
    )  # with t = sqrt(degrees) tan(angle) the density is a cosine's power
    density = np.cos(angles) ** (degrees - 1)
    shares = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = np.interp(2 * probability - 1, shares / shares[-1], angles)
    return float(np.sqrt(degrees) * np.tan(angle))
