"""Tests that tell a change from noise, on arrays: of losses, of which trials diverge, and of speed.

Rounding differs between machines and versions, and training amplifies it: the same trial ends elsewhere, by
about as much upwards as downwards. Trials are paired by setting and seed, and their differences are the noise
that a change must exceed. Most of them are tiny and a few are large, and on the whole the settings of a seed
differ independently; how much they do not is estimated over all cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

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

    Each setting has a paired t-test over its seeds, told as a normal deviate. Two tests look at the deviates
    of a cell: whether their mean is not 0, so that all settings became worse or better, with an error that
    allows for settings of a seed that differ together; and whether they vary more than noise, so that some
    settings became better and others worse.

    Args:
        changes: (H, S) of each cell, relative changes of a loss; NaN for pairs that diverged. A setting with
            less than two pairs has no say, and a cell without any is given 1.
    """
    cells = [list(_deviates(changes_HS)) for changes_HS in changes]
    spreads = [_spread([residuals for _, residuals in cell]) for cell in cells]
    known = [(1.0, _PRIOR), *spreads]
    total_df = sum(df for _, df in known)
    common = sum(spread * df for spread, df in known) / total_df
    return [
        _p_value(np.array([z for z, _ in cell]), max(1.0, common, spread), total_df) if cell else 1.0
        for cell, (spread, _) in zip(cells, spreads, strict=True)
    ]


def _deviates(changes_HS: Array) -> Iterator[tuple[float, Array]]:
    """Return for each setting its normal deviate, and the residuals of its seeds in units of their spread."""
    for changes_S in changes_HS:
        is_pair = np.isfinite(changes_S)
        num = int(is_pair.sum())
        if num < 2:
            continue
        mean = changes_S[is_pair].mean()
        std = max(float(changes_S[is_pair].std(ddof=1)), ROUNDING)
        yield normal_score(mean / std * math.sqrt(num), num - 1), np.where(is_pair, changes_S - mean, 0) / std


def _spread(residuals: Sequence[Array]) -> tuple[float, int]:
    """Return the variance of a sum of settings over that of independent ones, and its degrees of freedom."""
    if not residuals:
        return 0.0, 0
    sums_S = np.sum(residuals, axis=0)
    df = len(sums_S) - 1
    return float((sums_S**2).sum() / df / len(residuals)), df


def _p_value(deviates_H: Array, spread: float, df: int) -> float:
    count = len(deviates_H)
    mean = float(deviates_H.mean())
    together = t_tails(mean * math.sqrt(count / spread), df)
    if count == 1:
        return together
    apart = chi2_tail(float(((deviates_H - mean) ** 2).sum()), count - 1)
    return min(1.0, 2 * min(together, apart))


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
