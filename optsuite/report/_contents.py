"""Contents of a report: plain facts, before any words or markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from optsuite._types import Array
from optsuite.archives import Absent
from optsuite.statistics import TRAIN_LOSS, Results


@dataclass(frozen=True, kw_only=True)
class SessionFacts:
    """Facts that a pytest session knows besides its archives."""

    started: datetime
    seconds: float
    """Time from the start to the report."""
    command: str
    device: str
    preset: str
    versions: Mapping[str, str]
    """Version by package, `Python` among them."""
    data: Mapping[str, str]
    """Kind of data by dataset: `real`, or words that say what stands in for it."""
    trained: int
    """Number of trials that this session trained."""
    recorded: int
    """Number of trials that were recorded before."""
    failures: Sequence[tuple[str, str]]
    """(id of the cell's config, cause in words) of each failure."""
    left_out: Sequence[str]
    """Names of the cells that the preset left out."""
    warnings: Sequence[str]
    curves: Sequence[str]
    """Roots of curves."""
    archives: Sequence[str]
    """Roots of archives."""


class Figure(NamedTuple):
    """Figure as the page shows it, or the reason why it cannot."""

    stem: str
    """Beginning of the names of its files."""
    caption: str
    task: str | None
    """Name of the task; None if it shows several."""
    is_stand_in: bool
    svg: str = ""
    """Markup that a page may hold; empty if it could not be drawn."""
    links: Mapping[str, str] = MappingProxyType({})
    """URL by kind of file; empty if they could not be written."""
    problem: str = ""
    """Reason why it could not be drawn or written; empty if it was."""


class Group(NamedTuple):
    """Cells that may be compared: of one task, on one kind of data."""

    task: str
    is_stand_in: bool

    @classmethod
    def of(cls, one: Results) -> Group:
        """Return the group of a cell."""
        return cls(one.task, one.is_stand_in)

    @property
    def anchor(self) -> str:
        """Anchor of the group on the page."""
        return f"task-{quote(self.task, errors='surrogatepass')}" + ("-stand-in" if self.is_stand_in else "")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that sections choose from."""

    made: datetime
    cells: Sequence[Results | Absent]
    figures: Sequence[Figure]
    figures_url: str
    """Folder of the figures' files."""
    facts: SessionFacts | None
    """Facts of the session; None if the page is made by hand from archives."""

    @cached_property
    def results(self) -> list[Results]:
        """Cells with a readable archive."""
        return [one for one in self.cells if isinstance(one, Results)]

    @cached_property
    def absent(self) -> list[Absent]:
        """Cells without a readable archive."""
        return [one for one in self.cells if isinstance(one, Absent)]

    @cached_property
    def best(self) -> dict[Group, dict[int, Results | None]]:
        """Cell with the smallest training loss of each group and number of steps, which rise.

        None where no cell has a best config.
        """
        groups: dict[Group, dict[int, list[Results]]] = {Group.of(one): {} for one in self.results}
        for one in sorted(self.results, key=lambda one: one.num_steps):
            groups[Group.of(one)].setdefault(one.num_steps, []).append(one)
        return {
            group: {num_steps: _best(cells) for num_steps, cells in by_steps.items()}
            for group, by_steps in groups.items()
        }


def final(one: Results, metric: str) -> Array:
    """Return a metric of the best config, which there must be, in the last evaluation, (S,), float64."""
    return one.final[metric][one.best].astype(np.float64)


def _best(cells: Sequence[Results]) -> Results | None:
    with_best = (one for one in cells if one.best is not None)
    return min(with_best, key=lambda one: final(one, TRAIN_LOSS).mean(), default=None)


def distinct(cells: Iterable[Results | Absent]) -> list[Results | Absent]:
    """Leave out missing cells that another root has, and all but one of those that every root lacks."""
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
