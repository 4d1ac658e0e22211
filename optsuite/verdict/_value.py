"""The value that a verdict is: plain numbers with intervals, before any words or markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from optsuite._types import Array
from optsuite.archives import RecordedConfig
from optsuite.statistics import Evaluations, Interval

Outcome = Literal["better", "worse", "no difference", "undecided"]
"""Answer to whether an optimizer is better than the reference.

`no difference`: the interval of the steps ratio holds 1. `undecided`: there is no interval.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Entry:
    """An optimizer on one task."""

    task: str
    optimizer: str
    """Name on the page, e.g. `Adam`, `Mine`; that of the set's family where two would be the same."""
    evaluations: Evaluations
    best: RecordedConfig | None
    """Setting that the rule chooses; None if all diverged."""
    best_index: int | None
    why_no_best: str
    """Reason in words; empty if there is one."""
    edge: str
    """Advice in words if the best setting lies on the edge of its grid; empty otherwise."""
    final: Interval | None
    """Judged loss of the best setting; None without one."""
    best_of: Sequence[Interval]
    """Judged loss when only k = 1, 2, ..., H settings, drawn at random, are tried."""
    plateau: tuple[float, float] | None
    """Lowest and highest learning rate that keep 95 % of what the best one gains over the start."""
    steps_ratio: Interval | None
    """Steps to the reference's final loss, as a share of the horizon: 0.8 is faster; None for the reference.

    Where it does not reach that loss: the inverse of the share in which the reference reaches its own."""
    seconds_ratio: Interval | None
    """Ratio in wall-clock time; None where the two were not timed on one device in one store."""
    flops_ratio: Interval | None
    """Ratio in floating-point operations; None where they are not known."""
    notes: Sequence[str]
    """Reservations in words: one seed, unequal seeds, trials that diverged, ...."""


@final
@dataclass(frozen=True, kw_only=True)
class Standing:
    """An optimizer over all tasks."""

    optimizer: str
    num_tasks: int
    """Number of tasks on which it has a number."""
    steps_ratio: Interval | None
    """Geometric mean over tasks of the steps ratio to the reference."""
    seconds_ratio: Interval | None
    score: Interval | None
    """Interquartile mean over tasks and seeds of the score, 1 for the reference's final loss."""
    improvement: Interval | None
    """Probability that it beats the reference on a task and a seed."""
    rank: float
    """Average rank over tasks, 1 is best."""
    better_on: int
    """Number of tasks on which its interval lies below that of no difference."""
    worse_on: int
    profile: Array
    """(3, P): share of tasks and seeds with at least each score of `Verdict.scores`, and its band."""
    outcome: Outcome


@final
@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Answer to whether optimizers are better than others, on some tasks."""

    of: str
    """Optimizer in question."""
    reference: str
    """Optimizer that ratios refer to."""
    suite: str
    """Label of the suite; empty without one."""
    rule: str
    """Rule by which the best setting is chosen and judged, in words."""
    num_steps: int
    num_seeds: int
    """Smallest number of seeds of a pair."""
    entries: Sequence[Entry]
    standings: Sequence[Standing]
    """Standings of all optimizers by rank, at the end those without results."""
    scores: Array
    """(P,), scores at which profiles are told."""
    ranks_differ: float | None
    """p-value of Friedman's test that all rank alike; None where it cannot be made."""
    rank_groups: Sequence[tuple[str, ...]]
    """Optimizers whose ranks do not differ by the critical difference."""
    missing: Mapping[str, str]
    """Reason in words by `<task>/<set>` of each cell that has no numbers."""
    notes: Sequence[str]

    @property
    def outcome(self) -> Outcome:
        """Outcome of the optimizer in question."""
        return next(one.outcome for one in self.standings if one.optimizer == self.of)
