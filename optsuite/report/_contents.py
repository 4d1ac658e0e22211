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
from optsuite.report._tuning import Tuning, tuning_of
from optsuite.statistics import TRAIN_LOSS, Results
from optsuite.verdict import Entry, Verdict


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
    chart: str = ""
    """Kind of the chart that the page shows in its place, `_charts.KINDS`; empty if it shows the figure."""
    svg: str = ""
    """Markup that a page may hold; empty if it could not be drawn, or a chart takes its place."""
    is_drawn: bool = True
    links: Mapping[str, str] = MappingProxyType({})
    """URL by kind of file; empty if they could not be written."""
    problem: str = ""
    """Reason why it could not be drawn or written; empty if it was."""


class Key(NamedTuple):
    """Name of a cell, and the kind of its data."""

    task: str
    hparam_set: str
    is_stand_in: bool

    @classmethod
    def of(cls, one: Results) -> Key:
        """Return the key of a cell."""
        return cls(one.task, one.hparam_set, one.is_stand_in)

    @classmethod
    def of_entry(cls, entry: Entry) -> Key:
        """Return the key of an entry's cell."""
        evaluations = entry.evaluations
        return cls(entry.task, evaluations.hparam_set, evaluations.data_source != "real")


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
    figures: list[Figure]
    """Figures, which are drawn from the rest."""
    figures_url: str
    """Folder of the figures' files."""
    facts: SessionFacts | None
    """Facts of the session; None if the page is made by hand from archives."""
    verdict: Verdict | None = None

    @cached_property
    def entries(self) -> dict[Key, Entry]:
        """Entries of the verdict by cell."""
        return {Key.of_entry(entry): entry for entry in (self.verdict.entries if self.verdict else ())}

    def entry(self, one: Results) -> Entry | None:
        """Return the entry of a cell; None if the verdict has none."""
        return self.entries.get(Key.of(one))

    def is_packaged(self, one: Results) -> bool:
        """Return whether a cell is of the baselines in the package."""
        entry = self.entry(one)
        return entry is not None and entry.evaluations.source == "packaged"

    def name(self, one: Results) -> str:
        """Return the name of a cell's optimizer on the page: the verdict's, else that of its set."""
        entry = self.entry(one)
        return entry.optimizer if entry else self._judged_names.get(one.hparam_set, one.hparam_set)

    @cached_property
    def _judged_names(self) -> dict[str, str]:
        return {key.hparam_set: entry.optimizer for key, entry in self.entries.items()}

    @cached_property
    def tuning(self) -> dict[Key, Tuning]:
        """Tuning of each cell that has a best setting."""
        return {Key.of(one): tuning_of(one, self.entry(one)) for one in self.results if one.best is not None}

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of each optimizer on the page, which fixes its look, by name."""
        names = dict.fromkeys(self.name(one) for one in self.results)
        standings = self.verdict.standings if self.verdict else ()
        names |= dict.fromkeys(one.optimizer for one in standings)
        return {name: place for place, name in enumerate(names)}

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


def with_entries(cells: Sequence[Results | Absent], verdict: Verdict | None) -> list[Results | Absent]:
    """Return the cells with those of a verdict, which has chosen their best settings."""
    entries = {Key.of_entry(entry): entry for entry in (verdict.entries if verdict else ())}
    judged = {key: _results(entry) for key, entry in entries.items()}
    own = [judged.pop(Key.of(one), one) if isinstance(one, Results) else one for one in cells]
    there = {(key.task, key.hparam_set) for key in judged}
    return [one for one in own if not (_is_missing(one) and (one.task, one.hparam_set) in there)] + [
        *judged.values()
    ]


def _results(entry: Entry) -> Results:
    """Return an entry's evaluations as the results of an archive, whose best setting is the verdict's."""
    evals, best = entry.evaluations, entry.best_index
    metrics = {f"eval/{split}/loss": values for split, values in evals.losses.items()}
    metrics |= {f"eval/{split}/accuracy": values for split, values in evals.accuracies.items()}
    seconds = np.empty(0) if evals.seconds_per_step is None else evals.seconds_per_step
    timed = seconds[np.isfinite(seconds) & (seconds > 0)]
    is_own = evals.source == "own"  # the time of another machine is no time of this one
    return Results(
        task=entry.task,
        hparam_set=evals.hparam_set,
        url=evals.origin,
        configs=evals.configs,
        seeds=np.broadcast_to(evals.seeds, evals.diverged.shape),
        data_source=evals.data_source,
        num_steps=evals.num_steps,
        schedule=evals.schedule,
        eval_xs=evals.xs,
        final={key: values[..., -1] for key, values in metrics.items()},
        best=best,
        best_curves={} if best is None else {key: values[best] for key, values in metrics.items()},
        diverged=evals.diverged,
        seconds_per_step=float(timed.mean()) if is_own and len(timed) else None,
        flops_per_step=evals.flops_per_step,
    )


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
