"""Tuning: how good with few trials, how wide the plateau, and whether the grid ends too early."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Literal, NamedTuple

import numpy as np

from optsuite._types import Array
from optsuite.statistics._evaluations import Evaluations
from optsuite.statistics._interval import Interval, interval, t_quantile
from optsuite.statistics._resample import NUM_RESAMPLES, draw_seeds
from optsuite.statistics._results import best_config
from optsuite.statistics._rules import Rule, curves, last_losses

TOLERANCE = 0.05
"""Share of the best setting's gain over the start that settings of a plateau may lack."""


class Edge(NamedTuple):
    """A hyperparameter whose best value is the outermost that was tried."""

    hparam: str
    value: float
    side: Literal["low", "high"]
    try_next: tuple[float, ...]
    """Values beyond it, as far apart as those of the grid; the nearest first."""


def best_of_k(
    evaluations: Evaluations,
    rule: Rule,
    ks: Sequence[int],
    *,
    num_resamples: int = NUM_RESAMPLES,
    key: int = 0,
) -> list[Interval]:
    """Return the expected judged loss of the best of k settings, which are drawn without replacement.

    A setting that ends worse than it began, or diverged, counts as the loss at the beginning.

    Args:
        evaluations: Evaluations of H settings.
        rule: Rule by which the best of them is chosen and judged.
        ks: Numbers of settings, each in 1..H.
        num_resamples: Number of draws of the seeds.
        key: Seed of the draws.
    """
    num_settings, num_seeds = evaluations.diverged.shape
    draws = draw_seeds(num_seeds, num_resamples, key, evaluations.task)
    choice_HS = last_losses(evaluations, rule.chooses_on, rule.smooth)
    judged_HS = np.minimum(last_losses(evaluations, rule.judges_on, rule.smooth), _start(evaluations, rule))
    is_lost_H = ~np.isfinite(choice_HS.max(1))
    choice_UH = draws.shares @ np.where(is_lost_H[:, None], 0, choice_HS).T
    order_UH = np.argsort(np.where(is_lost_H, np.inf, choice_UH), axis=1, kind="stable")
    drawn_UH = np.take_along_axis(draws.shares @ judged_HS.T, order_UH, axis=1)
    of_all_UH: Array = np.take(judged_HS.mean(1), order_UH)
    return [
        interval(draws.around(drawn_UH @ chances, of_all_UH @ chances), num_seeds)
        for chances in (_chances(num_settings, k) for k in ks)
    ]


def _chances(num_settings: int, k: int) -> Array:
    """Return the chance of each place in the order to be the best of k that are drawn, (H,)."""
    worse = range(num_settings - 1, -1, -1)  # all others of the k come from these
    return np.array([comb(count, k - 1) / comb(num_settings, k) for count in worse])


def plateau(evaluations: Evaluations, rule: Rule) -> tuple[float, float] | None:
    """Return the lowest and highest learning rate around the best that do nearly as well.

    Between settings the loss is interpolated over the logarithm of the learning rate; of settings that share
    one, the best counts.

    Returns:
        Learning rates between which the judged loss keeps 95 % of what the best setting gains over the start;
        None if there are fewer than three learning rates, or each setting diverged with a seed.
    """
    lrs = _numbers(evaluations, "lr")
    best = best_config(last_losses(evaluations, rule.chooses_on, rule.smooth))
    if lrs is None or best is None or lrs[best] <= 0:
        return None
    xs = np.unique(lrs[lrs > 0])
    loss_H = last_losses(evaluations, rule.judges_on, rule.smooth).mean(1)
    if len(xs) < 3 or not np.isfinite(loss_H[best]):
        return None
    ys = np.array([loss_H[lrs == x].min() for x in xs])
    most = loss_H[best] + TOLERANCE * max(0.0, _start(evaluations, rule) - loss_H[best])
    at = int(np.searchsorted(xs, lrs[best]))
    low, high = (_leaves(np.log(xs[way]), ys[way], most) for way in (slice(at, None, -1), slice(at, None)))
    return float(np.exp(low)), float(np.exp(high))


def edge(evaluations: Evaluations, rule: Rule) -> Edge | None:
    """Return the first hyperparameter whose best value is the outermost of three or more, if there is one.

    The learning rate comes first. A hyperparameter has no edge where it makes no difference: where none of
    its other values does worse beyond the error of the seeds. Nor has it one at 0, the least there is.
    """
    choice_HS = last_losses(evaluations, rule.chooses_on, rule.smooth)
    best = best_config(choice_HS)
    names = dict.fromkeys(["lr", *(name for config in evaluations.configs for name in config.hparams)])
    if best is None:
        return None
    for name in names:
        values_H = _numbers(evaluations, name)
        if values_H is None or len(np.unique(values_H)) < 3 or values_H.min() < 0:
            continue
        value, tried = float(values_H[best]), np.unique(values_H[values_H > 0])
        if value in (tried[0], tried[-1]) and _matters(values_H, choice_HS, best):
            return Edge(name, value, "high" if value == tried[-1] else "low", _beyond(tried, value))
    return None


def _matters(values_H: Array, choice_HS: Array, best: int) -> bool:
    """Return whether a setting with another value is worse than the best one by more than its error."""
    for value in np.unique(values_H[values_H != values_H[best]]):
        settings_HS = choice_HS[values_H == value]
        nearest = best_config(settings_HS)
        if nearest is None or choice_HS.shape[1] < 2:
            return True
        excess_S = settings_HS[nearest] - choice_HS[best]
        error = t_quantile(0.975, len(excess_S) - 1) * excess_S.std(ddof=1) / np.sqrt(len(excess_S))
        if excess_S.mean() > error:
            return True
    return False


def _beyond(tried: Array, value: float) -> tuple[float, ...]:
    """Return three values beyond an outermost one, at the median ratio of neighbours.

    The ratio is that of the distances to 1 for values such as 0.9, 0.99, 0.999, where these are more even.

    Args:
        tried: (V,), positive, rising.
        value: First or last of them.
    """
    is_near_one = tried[-1] < 1 and _unevenness(1 - tried) < _unevenness(tried)
    scale = 1 - tried if is_near_one else tried
    ratio = np.exp(np.median(np.abs(np.diff(np.log(scale)))))
    grows = (value == tried[-1]) != is_near_one
    beyond = (1 - value if is_near_one else value) * ratio ** ((1.0 if grows else -1.0) * np.arange(1, 4))
    return tuple(float(f"{x:.4g}") for x in (1 - beyond if is_near_one else beyond).tolist() if x > 0)


def _unevenness(scale: Array) -> float:
    """Return how far positive values are from a geometric row: the spread of their steps over the mean."""
    steps = np.abs(np.diff(np.log(scale)))
    return float(steps.std() / steps.mean())


def _numbers(evaluations: Evaluations, name: str) -> Array | None:
    """Return the values of a hyperparameter, (H,); None if a setting has none or no number."""
    values = [config.hparams.get(name) for config in evaluations.configs]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    return np.array(values, dtype=np.float64)


def _start(evaluations: Evaluations, rule: Rule) -> float:
    """Return the judged loss in the first evaluation, the median over trials."""
    return float(np.median(curves(evaluations, rule.judges_on)[..., 0]))


def _leaves(xs: Array, ys: Array, most: float) -> float:
    """Return where a line through points first exceeds a value; the last point if it does not."""
    is_above = ys > most
    if not is_above.any():
        return float(xs[-1])
    i = int(is_above.argmax())
    share = (most - ys[i - 1]) / (ys[i] - ys[i - 1]) if np.isfinite(ys[i]) else 0.0
    return float(xs[i - 1] + share * (xs[i] - xs[i - 1]))
