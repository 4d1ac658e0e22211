"""What a report has to tell: plain facts, before any words or markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import numpy as np

from optsuite.statistics import Absent, Results

if TYPE_CHECKING:
    from optsuite._types import Array

__all__ = ["TRAIN_LOSS", "Contents", "Figure", "Group", "SessionFacts", "distinct", "final", "why"]

TRAIN_LOSS = "eval/train/loss"


@dataclass(frozen=True, kw_only=True)
class SessionFacts:
    """What a pytest session knows besides its archives."""

    started: datetime
    seconds: float
    """From the start to the report."""
    command: str
    device: str
    preset: str
    versions: Mapping[str, str]
    """By package, `Python` among them."""
    data: Mapping[str, str]
    """By dataset: `real`, or words that say what stands in for it."""
    trained: int
    """Trials that this session trained."""
    recorded: int
    """Trials that were there before."""
    failures: Sequence[tuple[str, str]]
    """(id of the setting, cause in words)."""
    left_out: Sequence[str]
    """Names of the cells that the preset left out."""
    warnings: Sequence[str]
    curves: Sequence[str]
    """Roots."""
    archives: Sequence[str]
    """Roots."""


class Figure(NamedTuple):
    """A figure as the page shows it, or the reason why it cannot."""

    stem: str
    """Its name, with which those of its files begin."""
    caption: str
    task: str | None
    """None: it shows more than one."""
    is_stand_in: bool
    svg: str = ""
    """Markup that a page may hold; empty if it could not be drawn."""
    links: Mapping[str, str] = MappingProxyType({})
    """URL by kind of file; empty if they could not be written."""
    problem: str = ""
    """Why it could not be drawn or written; empty if there is none."""


class Group(NamedTuple):
    """Cells that compare: of one task, on one kind of data."""

    task: str
    is_stand_in: bool

    @classmethod
    def of(cls, one: Results) -> Group:
        """The group of a cell."""
        return cls(one.task, one.is_stand_in)

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return f"task-{quote(self.task)}" + ("-stand-in" if self.is_stand_in else "")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that sections choose from."""

    made: datetime
    cells: Sequence[Results | Absent]
    figures: Sequence[Figure]
    figures_url: str
    """Folder of their files."""
    facts: SessionFacts | None
    """None: made by hand from archives."""

    @cached_property
    def results(self) -> list[Results]:
        """The cells with a readable archive."""
        return [one for one in self.cells if isinstance(one, Results)]

    @cached_property
    def absent(self) -> list[Absent]:
        """The other cells."""
        return [one for one in self.cells if isinstance(one, Absent)]

    @cached_property
    def best(self) -> dict[Group, dict[int, Results | None]]:
        """The cell with the smallest training loss of each group and number of steps.

        None where all settings diverged. Numbers of steps rise.
        """
        groups: dict[Group, dict[int, list[Results]]] = {Group.of(one): {} for one in self.results}
        for one in sorted(self.results, key=lambda one: one.num_steps):
            groups[Group.of(one)].setdefault(one.num_steps, []).append(one)
        return {
            group: {num_steps: _best(cells) for num_steps, cells in by_steps.items()}
            for group, by_steps in groups.items()
        }


def final(one: Results, metric: str) -> Array:
    """(S,), float64: a metric of the best setting, of which there must be one, in the last evaluation."""
    return one.final[metric][one.best].astype(np.float64)


def _best(cells: Sequence[Results]) -> Results | None:
    with_best = (one for one in cells if one.best is not None)
    return min(with_best, key=lambda one: final(one, TRAIN_LOSS).mean(), default=None)


def why(absent: Absent) -> str:
    """In words why a cell has no results."""
    return "no archive" if absent.reason == "missing" else absent.reason


def distinct(cells: Iterable[Results | Absent]) -> list[Results | Absent]:
    """Leave out what is missing in one root only, or in several at once."""
    cells = list(cells)
    here = {(one.task, one.hparam_set) for one in cells if not _is_missing(one)}
    kept = []
    for one in cells:
        cell = one.task, one.hparam_set
        if _is_missing(one) and cell in here:
            continue
        here.add(cell)
        kept.append(one)
    return kept


def _is_missing(one: Results | Absent) -> bool:
    return isinstance(one, Absent) and one.reason == "missing"
