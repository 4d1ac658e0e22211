"""Tests that tell a change from noise, on arrays: of losses, of which trials diverge, and of speed.

Rounding differs between machines and versions, and training amplifies it: the same trial ends elsewhere, by
about as much upwards as downwards. Trials are paired by setting and seed, and their differences are the noise
that a change must exceed. Most of them are tiny and a few are large, and on the whole the settings of a seed
differ independently; how much they do not is estimated over all cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from optsuite._types import Array
from optsuite.comparison._tails import chi2_tail, normal_score, t_tails

ROUNDING = 1e-5
"""Relative change below which two losses count as the same: sums of float32 in another order."""

_PRIOR = 8
"""Degrees of freedom that the independence of settings is worth before any cell is seen, as two cells of five
seeds would be."""


def relative_change(a: Array, b: Array) -> Array:
    """Return (b - a) as a share of the mean magnitude, elementwise: about the log ratio, at most 2.

    NaN where either is not finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        change = (b - a) / np.maximum((np.abs(a) + np.abs(b)) / 2, np.finfo(np.float64).tiny)
    finite: Array = np.where(np.isfinite(a) & np.isfinite(b), change, np.nan)
    return finite


def loss_p_values(changes: Sequence[Array]) -> list[float]:
    """Return for each cell the probability that noise alone changes losses as much.

    Each setting has a paired t-test over its seeds, told as a normal deviate. Three tests of a cell share its
    probability: whether the mean deviate is not 0, so that all settings became worse or better, with an error
    that allows for settings of a seed that differ together; whether deviates vary more than noise, so that
    some settings became better and others worse; and a t-test over seeds of the mean change of their
    settings, which finds what is far above all noise and alike in all settings of a seed.

    Args:
        changes: (H, S) of each cell, relative changes of a loss; NaN for pairs that diverged. A setting with
            less than two pairs has no say, and a cell without any is given 1. What is within `ROUNDING` is
            no change, and what is beyond is one by what it exceeds that.
    """
    changes = [np.copysign(np.maximum(np.abs(one) - ROUNDING, 0), one) for one in changes]
    cells = [_deviates(changes_HS) for changes_HS in changes]
    spreads = [_spread(residuals_HS) for _, residuals_HS in cells]
    known = [(1.0, _PRIOR), *spreads]
    total_df = sum(df for _, df in known)
    common = sum(spread * df for spread, df in known) / total_df
    return [
        _p_value(deviates_H, max(1.0, common, spread), total_df, changes_HS)
        for (deviates_H, _), (spread, _), changes_HS in zip(cells, spreads, changes, strict=True)
    ]


def _deviates(changes_HS: Array) -> tuple[Array, Array]:
    """Return for each setting with two pairs its normal deviate, and residuals in units of their spread."""
    is_pair_HS = np.isfinite(changes_HS)
    num_H = is_pair_HS.sum(1)
    has_two_H = num_H >= 2
    is_pair_HS, num_H = is_pair_HS[has_two_H], num_H[has_two_H]
    values_HS = np.where(is_pair_HS, changes_HS[has_two_H], 0.0)
    mean_H = values_HS.sum(1) / num_H
    residuals_HS = np.where(is_pair_HS, values_HS - mean_H[:, None], 0.0)
    std_H = np.maximum(np.sqrt((residuals_HS**2).sum(1) / (num_H - 1)), ROUNDING)
    t_H = mean_H / std_H * np.sqrt(num_H)
    deviates = [normal_score(float(t), int(num) - 1) for t, num in zip(t_H, num_H, strict=True)]
    return np.array(deviates), residuals_HS / std_H[:, None]


def _spread(residuals_HS: Array) -> tuple[float, int]:
    """Return the variance of a sum of settings over that of independent ones, and its degrees of freedom."""
    num_settings, num_seeds = residuals_HS.shape
    if not num_settings:
        return 0.0, 0
    df = num_seeds - 1
    return float((residuals_HS.sum(0) ** 2).sum() / df / num_settings), df


def _p_value(deviates_H: Array, spread: float, df: int, changes_HS: Array) -> float:
    count = len(deviates_H)
    if not count:
        return 1.0
    mean = float(deviates_H.mean())
    together = t_tails(mean * math.sqrt(count / spread), df)
    if count == 1:
        return together
    apart = chi2_tail(float(((deviates_H - mean) ** 2).sum()), count - 1)
    return min(1.0, 3 * min(together, apart, _seeds_p_value(changes_HS)))


def _seeds_p_value(changes_HS: Array) -> float:
    """Return the p-value of a t-test over seeds whose settings all have pairs, each setting on its scale."""
    pairs_HS = changes_HS[np.isfinite(changes_HS).sum(1) >= 2]
    pairs_HS = pairs_HS[:, np.isfinite(pairs_HS).all(0)]
    num = pairs_HS.shape[1]
    if num < 2:
        return 1.0
    scale_H = np.maximum(np.sqrt((pairs_HS**2).mean(1)), ROUNDING)
    mean_S = (pairs_HS / scale_H[:, None]).mean(0)
    std = max(float(mean_S.std(ddof=1)), float((ROUNDING / scale_H).mean()))
    return t_tails(float(mean_S.mean()) / std * math.sqrt(num), num - 1)


def divergence_p_value(only_a: int, only_b: int) -> float:
    """Return the probability of counts as unequal if a trial diverges by chance in one or the other.

    It is the exact form of McNemar's test, two-sided.
    """
    count, least = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(count, k) for k in range(least + 1))
    return min(1.0, tail / 2 ** (count - 1)) if count else 1.0


def speed_p_value(log_ratios: Array) -> float:
    """Return the probability that noise alone makes rounds so unequal, by a t-test over rounds.

    Args:
        log_ratios: (R,), of each round the logarithm of B's seconds a step over A's.
    """
    num = len(log_ratios)
    std = max(float(log_ratios.std(ddof=1)), ROUNDING)
    return t_tails(float(log_ratios.mean()) / std * math.sqrt(num), num - 1)


def real_ones(p_values: Sequence[float], rate: float) -> list[bool]:
    """Return which tests are passed when all share a rate of false alarms, by Holm's procedure."""
    order = sorted(range(len(p_values)), key=lambda one: p_values[one])
    is_real = [False] * len(p_values)
    for place, one in enumerate(order):
        if p_values[one] > rate / (len(p_values) - place):
            break
        is_real[one] = True
    return is_real
