"""Tuning: how good with few trials, how wide the plateau of learning rates, whether the grid ends too early."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Literal, NamedTuple

import numpy as np

from optsuite._types import Array
from optsuite.statistics._evaluations import Evaluations
from optsuite.statistics._interval import Interval, interval
from optsuite.statistics._resample import NUM_RESAMPLES, best_settings, draw_seeds, drawn_means
from optsuite.statistics._rules import Rule, curves, last_losses

TOLERANCE = 0.05
"""Share of the best setting's gain over the start that settings of a plateau may lack."""


class Edge(NamedTuple):
    """A hyperparameter whose best value is the outermost that was tried."""

    hparam: str
    value: float
    side: Literal["low", "high"]
    try_next: tuple[float, ...]
    """Next values beyond it, as far apart as those of the grid."""


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
    choice_UH, judged_UH = (
        drawn_means(draws.counts, last_losses(evaluations, split, rule.smooth).T)
        for split in (rule.chooses_on, rule.judges_on)
    )
    judged_UH = np.minimum(judged_UH, _start(evaluations, rule))
    sorted_UH = np.take_along_axis(judged_UH, np.argsort(choice_UH, axis=1, kind="stable"), axis=1)
    intervals = []
    for k in ks:
        ways = [
            comb(num_settings - 1 - place, k - 1) / comb(num_settings, k) for place in range(num_settings)
        ]
        intervals.append(interval((sorted_UH @ np.array(ways))[draws.row], num_seeds))
    return intervals


def plateau(evaluations: Evaluations, rule: Rule) -> tuple[float, float] | None:
    """Return the lowest and highest learning rate around the best that do nearly as well.

    Between settings the loss is interpolated over the logarithm of the learning rate.

    Returns:
        Learning rates between which the judged loss has at least 95 % of the gain of the best setting over
        the start; None if there are fewer than three learning rates or all settings diverged.
    """
    lrs = _numbers(evaluations, "lr")
    loss_H = last_losses(evaluations, rule.judges_on, rule.smooth).mean(1)
    best = best_settings(last_losses(evaluations, rule.chooses_on, rule.smooth).mean(1)[None])[0]
    if lrs is None or best < 0 or not np.isfinite(loss_H[best]):
        return None
    xs = np.unique(lrs[lrs > 0])
    if len(xs) < 3 or lrs[best] <= 0:
        return None
    ys = np.array([loss_H[lrs == x].min() for x in xs])  # the best of settings that share a learning rate
    most = loss_H[best] + TOLERANCE * max(0.0, _start(evaluations, rule) - loss_H[best])
    at = int(np.flatnonzero(xs == lrs[best])[0])
    low = _crossing(np.log(xs[at::-1]), ys[at::-1], most)
    high = _crossing(np.log(xs[at:]), ys[at:], most)
    return float(np.exp(low)), float(np.exp(high))


def edge(evaluations: Evaluations, rule: Rule) -> Edge | None:
    """Return the hyperparameter whose best value lies on the edge of the grid, the learning rate first."""
    best = best_settings(last_losses(evaluations, rule.chooses_on, rule.smooth).mean(1)[None])[0]
    if best < 0:
        return None
    names = dict.fromkeys(["lr", *(name for config in evaluations.configs for name in config.hparams)])
    for name in names:
        values = _numbers(evaluations, name)
        if values is None or len(np.unique(values)) < 3:
            continue
        value = float(values[best])
        tried = np.unique(values[values > 0])
        if value <= 0 or len(tried) < 2:
            continue
        if value in (tried[0], values.max()):
            side: Literal["low", "high"] = "low" if value == tried[0] else "high"
            ratio = float(np.exp(np.median(np.diff(np.log(tried)))))
            steps = np.arange(1, 4) * (1 if side == "high" else -1)
            return Edge(name, value, side, tuple(float(f"{value * ratio**s:.3g}") for s in steps.tolist()))
    return None


def _numbers(evaluations: Evaluations, name: str) -> Array | None:
    """Return the values of a hyperparameter, (H,); None if a setting has none or no number."""
    values = [config.hparams.get(name) for config in evaluations.configs]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return np.array(values, dtype=np.float64)


def _start(evaluations: Evaluations, rule: Rule) -> float:
    """Return the judged loss in the first evaluation, the median over trials."""
    return float(np.median(curves(evaluations, rule.judges_on)[..., 0]))


def _crossing(xs: Array, ys: Array, most: float) -> float:
    """Return where a line through points first exceeds a value, or the last point."""
    above = ys > most
    if not above.any():
        return float(xs[-1])
    i = max(1, int(above.argmax()))
    share = (most - ys[i - 1]) / (ys[i] - ys[i - 1]) if np.isfinite(ys[i]) else 0.0
    return float(xs[i - 1] + share * (xs[i] - xs[i - 1]))
