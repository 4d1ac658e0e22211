"""Ranks of optimizers over tasks, and whether they differ by more than chance."""

from __future__ import annotations

import importlib
import importlib.util
from typing import NamedTuple

import numpy as np

from optsuite._types import Array


class RankTest(NamedTuple):
    """Friedman's test on ranks, and Nemenyi's of each pair."""

    mean_ranks: Array
    """(O,), average rank over tasks, 1 is best."""
    p_value: float | None
    """Probability of ranks that differ so much by chance; None where there is no test."""
    groups: tuple[tuple[int, ...], ...]
    """Indices of optimizers whose ranks do not differ, the best first; empty where there is no test."""
    why_no_test: str
    """Reason in words; empty if there is one."""


def ranks(losses: Array) -> Array:
    """Return ranks along the last axis: 1 is the smallest, ties share the mean of theirs.

    Args:
        losses: (T, O), infinite for optimizers that diverged.
    """
    own, others = losses[..., :, None], losses[..., None, :]
    better, same = (others < own).sum(-1), (others == own).sum(-1)
    found: Array = better + (same + 1) / 2
    return found


def rank_test(final: Array, level: float = 0.95) -> RankTest:
    """Test whether optimizers rank differently over tasks.

    Args:
        final: (T, O), loss of each optimizer on each task; only differences of rank matter.
        level: 1 - level is the probability of seeing a difference where there is none.

    Source: Demšar, 2006, Statistical Comparisons of Classifiers over Multiple Data Sets.
    """
    ranks_TO = ranks(final)
    mean_ranks = ranks_TO.mean(0)
    num_tasks, num_optimizers = final.shape
    if num_tasks < 2 or num_optimizers < 3:
        why = f"needs two tasks and three optimizers (got {num_tasks} and {num_optimizers})"
        return RankTest(mean_ranks, None, (), why)
    if importlib.util.find_spec("scikit_posthocs") is None:
        return RankTest(mean_ranks, None, (), "needs scikit-posthocs: run `pip install 'optsuite[stats]'`")
    if (ranks_TO == ranks_TO[0, 0]).all():
        return RankTest(mean_ranks, 1.0, (tuple(range(num_optimizers)),), "")
    posthocs, stats = (importlib.import_module(name) for name in ("scikit_posthocs", "scipy.stats"))
    p_value = float(stats.friedmanchisquare(*ranks_TO.T).pvalue)
    pairs = posthocs.posthoc_nemenyi_friedman(ranks_TO).to_numpy()
    return RankTest(mean_ranks, p_value, _groups(mean_ranks, pairs >= 1 - level), "")


def _groups(mean_ranks: Array, is_alike: Array) -> tuple[tuple[int, ...], ...]:
    """Return the longest runs of neighbours in rank whose first and last are alike."""
    order = np.argsort(mean_ranks, kind="stable")
    runs: list[tuple[int, int]] = []
    for i in range(len(order)):
        last = max(j for j in range(i, len(order)) if is_alike[order[i], order[j]] or i == j)
        if not runs or last > runs[-1][1]:
            runs.append((i, last))
    return tuple(tuple(order[i : j + 1].tolist()) for i, j in runs)
