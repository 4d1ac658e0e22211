"""The value that a comparison of two stores is: plain numbers, before any words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from optsuite.statistics import Interval

FALSE_ALARMS = 0.01
"""Rate of comparisons in which noise alone is taken for a change, over all cells and all tests together."""


class Change(NamedTuple):
    """Change of a loss from A to B, over the settings and seeds of a cell."""

    mean: float
    """Mean over settings and seeds of the relative change: 0.01 is 1 % more."""
    p: float
    """Probability of as much from noise alone."""
    is_real: bool
    """Whether it is more than noise, among all that is tested."""
    num_worse: int
    """Number of settings whose loss rose on average."""
    num_better: int


class Divergence(NamedTuple):
    """Trials that diverged in one of the two stores only."""

    only_a: int
    only_b: int
    p: float
    is_real: bool


class Slowdown(NamedTuple):
    """Change of speed, measured in rounds of one job in which A and B took turns."""

    ratio: Interval
    """Seconds a step of B over those of A, geometric mean over rounds: 1.05 is 5 % slower."""
    least: float
    """Smallest ratio above 1 that rounds as unequal as these would have shown to be more than noise."""
    num_rounds: int
    p: float
    is_real: bool


@final
@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """A cell in two stores."""

    task: str
    hparam_set: str
    why_not: str = ""
    """Reason in words why the two do not compare; empty if they do."""
    notes: Sequence[str] = ()
    """Reservations in words, e.g. settings that only one of the two has."""
    is_identical: bool = False
    """Whether all losses are the same, bit for bit."""
    num_settings: int = 0
    """Number of settings that both have, and that have numbers."""
    num_seeds: int = 0
    best: float | None = None
    """Relative change of the final training loss, mean over seeds, of the setting that is best in A."""
    final: Change | None = None
    """Change of the training loss in the last evaluation; None where there are no two seeds to compare."""
    curve: Change | None = None
    """Change of the training loss, mean over all evaluations."""
    diverged: Divergence | None = None
    slowdown: Slowdown | None = None
    """Change of speed; None where the two did not take turns in one job."""

    @property
    def name(self) -> str:
        """Task and set in one word."""
        return f"{self.task}/{self.hparam_set}"

    @property
    def has_changed(self) -> bool:
        """Whether a loss changed, or which trials diverge, by more than noise."""
        tests = (self.final, self.curve, self.diverged)
        return any(test is not None and test.is_real for test in tests)

    @property
    def is_slower(self) -> bool:
        """Whether B is slower by more than noise."""
        found = self.slowdown
        return found is not None and found.is_real and found.ratio.value > 1


@final
@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same cells in two stores."""

    a: str
    """URL of the archives before."""
    b: str
    """URL of the archives after."""
    cells: Sequence[ComparedCell]
    num_tests: int
    """Number of tests that share the rate of false alarms."""
    rate: float
    """Rate of false alarms of all tests together."""

    @property
    def compared(self) -> Sequence[ComparedCell]:
        """Cells that compare."""
        return [cell for cell in self.cells if not cell.why_not]

    @property
    def changed(self) -> Sequence[ComparedCell]:
        """Cells whose loss changed."""
        return [cell for cell in self.cells if cell.has_changed]

    @property
    def slower(self) -> Sequence[ComparedCell]:
        """Cells that became slower."""
        return [cell for cell in self.cells if cell.is_slower]
