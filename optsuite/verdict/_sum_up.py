"""Summing up: from evaluations to a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from optsuite import statistics
from optsuite._types import Array
from optsuite.statistics import Aggregate, Evaluations, Interval, Resampled, Rule
from optsuite.verdict._cells import on_seeds
from optsuite.verdict._numbers import has_limits
from optsuite.verdict._value import Entry, Outcome, Standing, Verdict
from optsuite.words import listed


@final
@dataclass(frozen=True, kw_only=True)
class Contest:
    """Evaluations of optimizers by task and by label, and those that are missing."""

    of: str
    """Label of the optimizer in question; of the one that ratios refer to, likewise."""
    reference: str
    labels: Sequence[str]
    """Labels of all optimizers, these two first."""
    rule: Rule
    num_steps: int
    cells: Mapping[str, Mapping[str, Evaluations]]
    """Evaluations that compare, by task and label; each task has the optimizer in question."""
    missing: Mapping[str, str]
    """Reason in words by `<task>/<set>`."""
    suite: str = ""
    """Label of the suite; empty without one."""
    notes: Sequence[str] = ()


def sum_up(contest: Contest) -> Verdict:
    """Make a verdict of evaluations.

    Raises:
        OptsuiteError: Evaluations of a task do not compare.
    """
    tasks = {task: _resampled(contest, cells) for task, cells in contest.cells.items()}
    compared = [one for task, one in tasks.items() if contest.reference in contest.cells[task]]
    aggregates = statistics.aggregate(compared) if compared else {}
    standings = [_standing(contest, compared, label, aggregates.get(label)) for label in contest.labels]
    p_value, groups, why_no_test = _rank_test(contest, compared)
    return Verdict(
        of=contest.of,
        reference=contest.reference,
        suite=contest.suite,
        rule=contest.rule.words,
        num_steps=contest.num_steps,
        num_seeds=min((one.num_seeds for one in compared), default=0),
        entries=[
            _entry(contest, tasks[task], label, cells)
            for task, cells in contest.cells.items()
            for label in cells
        ],
        standings=sorted(standings, key=lambda one: (math.isnan(one.rank), one.rank)),
        scores=statistics.PROFILE_SCORES,
        ranks_differ=p_value,
        rank_groups=groups,
        missing=contest.missing,
        notes=[*contest.notes, *_uneven(standings, len(compared)), *_packaged(contest), *why_no_test],
    )


def _resampled(contest: Contest, cells: Mapping[str, Evaluations]) -> Resampled:
    reference = contest.reference if contest.reference in cells else contest.of
    return statistics.resample(cells, reference, contest.rule)


def _entry(contest: Contest, resampled: Resampled, label: str, cells: Mapping[str, Evaluations]) -> Entry:
    one, rule = on_seeds(cells[label], resampled.seeds), contest.rule
    best = resampled.chosen[label]
    notes = []
    if resampled.num_seeds < len(cells[label].seeds):
        notes.append(f"{resampled.num_seeds} of its {len(cells[label].seeds)} seeds are shared, and used")
    edge = statistics.edge(one, rule)
    ratios: list[Interval | None] = [None] * 3
    if label in resampled.steps_ratio and contest.reference in cells:
        ratios = [_interval(values, [resampled]) for values in _ratios(contest, resampled, label, cells)]
    return Entry(
        task=resampled.task,
        optimizer=label,
        evaluations=one,
        best=None if best is None else one.configs[best],
        best_index=best,
        why_no_best="" if best is not None else "all diverged",
        edge="" if edge is None else _advice(edge),
        final=None if best is None else statistics.interval(resampled.final[label], resampled.num_seeds),
        best_of=statistics.best_of_k(one, rule, range(1, len(one.configs) + 1)),
        plateau=statistics.plateau(one, rule),
        steps_ratio=ratios[0],
        seconds_ratio=ratios[1],
        flops_ratio=ratios[2],
        notes=notes,
    )


def _ratios(
    contest: Contest, resampled: Resampled, label: str, cells: Mapping[str, Evaluations]
) -> tuple[Array, Array | None, Array | None]:
    """Return the ratios to the reference in steps, in time and in operations, (1 + B,) each."""
    steps, both = resampled.steps_ratio[label], (cells[label], cells[contest.reference])
    return steps, statistics.time_ratio(steps, *both), statistics.flops_ratio(steps, *both)


def _interval(values: Array | None, tasks: Sequence[Resampled]) -> Interval | None:
    """Return the interval of a ratio, over tasks whose seeds were drawn independently."""
    if values is None:
        return None
    num_seeds = min(task.num_seeds for task in tasks)
    return statistics.interval(values, num_seeds, log=True, num_tasks=len(tasks))


def _advice(edge: statistics.Edge) -> str:
    end = "largest" if edge.side == "high" else "smallest"
    values = " and ".join(f"{value:.2g}" for value in edge.try_next[:2])
    return f"{edge.hparam} {edge.value:g} is the {end} that was tried; try {values}"


def _standing(
    contest: Contest, compared: Sequence[Resampled], label: str, found: Aggregate | None
) -> Standing:
    if found is None:
        empty = np.full((3, len(statistics.PROFILE_SCORES)), np.nan)
        return Standing(
            optimizer=label,
            num_tasks=0,
            steps_ratio=None,
            seconds_ratio=None,
            score=None,
            improvement=None,
            rank=math.nan,
            better_on=0,
            worse_on=0,
            profile=empty,
            outcome="undecided",
        )
    return Standing(
        optimizer=label,
        num_tasks=found.num_tasks,
        steps_ratio=found.steps_ratio,
        seconds_ratio=_seconds_ratio(contest, compared, label),
        score=found.score,
        improvement=found.improvement,
        rank=found.rank,
        better_on=found.better_on,
        worse_on=found.worse_on,
        profile=found.profile,
        outcome="no difference" if label == contest.reference else _outcome(found.steps_ratio),
    )


def _seconds_ratio(contest: Contest, compared: Sequence[Resampled], label: str) -> Interval | None:
    """Return the geometric mean over tasks of the ratio in time; None unless it is known on each."""
    tasks = [one for one in compared if label in one.steps_ratio]
    ratios = [_ratios(contest, one, label, contest.cells[one.task])[1] for one in tasks]
    known = [values for values in ratios if values is not None]
    if not known or len(known) < len(ratios):
        return None
    return _interval(np.exp(np.mean(np.log(known), axis=0)), tasks)


def _rank_test(
    contest: Contest, compared: Sequence[Resampled]
) -> tuple[float | None, tuple[tuple[str, ...], ...], list[str]]:
    """Test whether ranks differ, among the optimizers that are on all tasks with the reference."""
    labels = [label for label in contest.labels if all(label in task.final for task in compared)]
    if len(compared) < 2 or len(labels) < 3:
        return None, (), []  # nothing to test, which needs no words
    test = statistics.rank_test(np.array([[task.final[label][0] for label in labels] for task in compared]))
    groups = tuple(tuple(labels[i] for i in group) for group in test.groups)
    return test.p_value, groups, [f"no test of ranks: it {test.why_no_test}"] if test.why_no_test else []


def _uneven(standings: Sequence[Standing], num_tasks: int) -> list[str]:
    """Say whose ranks are over fewer tasks than those of others."""
    fewer = [f"{one.optimizer} on {one.num_tasks}" for one in standings if 0 < one.num_tasks < num_tasks]
    return [f"ranks over fewer than {num_tasks} tasks compare less: {listed(fewer, 6)}"] if fewer else []


def _packaged(contest: Contest) -> list[str]:
    """Say which numbers come with optsuite."""
    packaged = [
        (label, cell)
        for cells in contest.cells.values()
        for label, cell in cells.items()
        if cell.source == "packaged"
    ]
    names = list(dict.fromkeys(label for label, _ in packaged))
    origins = dict.fromkeys(cell.origin for _, cell in packaged)
    return [f"{listed(names, 6)}: {'; '.join(origins)}"] if packaged else []


def _outcome(interval: Interval | None) -> Outcome:
    """Return what the interval of a steps ratio says."""
    if interval is None or not has_limits(interval):
        return "undecided"
    if interval.high < 1:
        return "better"
    return "worse" if interval.low > 1 else "no difference"
