"""Summing up: from evaluations to a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from optsuite import statistics
from optsuite._types import Array
from optsuite.statistics import Aggregate, Evaluations, Interval, Resampled, Rule
from optsuite.suites import Suite
from optsuite.verdict._cells import on_seeds
from optsuite.verdict._numbers import has_limits, several
from optsuite.verdict._value import Entry, Outcome, Standing, Verdict
from optsuite.words import counted, listed


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
    suite: Suite | None = None
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
    num_seeds = min((one.num_seeds for one in compared), default=0)
    p_value, groups, why_no_test = _rank_test(contest, compared)
    return Verdict(
        of=contest.of,
        reference=contest.reference,
        suite=contest.suite.label if contest.suite else "",
        num_suite_tasks=len(contest.suite.tasks) if contest.suite else 0,
        rule=contest.rule.words,
        num_steps=contest.num_steps,
        num_seeds=num_seeds,
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
        notes=[
            *contest.notes,
            *_beside_the_suite(contest.suite, len(compared), num_seeds),
            *_uneven(standings, len(compared)),
            *_packaged(contest),
            *why_no_test,
        ],
    )


def _resampled(contest: Contest, cells: Mapping[str, Evaluations]) -> Resampled:
    reference = contest.reference if contest.reference in cells else contest.of
    return statistics.resample(cells, reference, contest.rule)


def _entry(contest: Contest, resampled: Resampled, label: str, cells: Mapping[str, Evaluations]) -> Entry:
    one, rule = on_seeds(cells[label], resampled.seeds), contest.rule
    best = resampled.chosen[label]
    edge = statistics.edge(one, rule)
    ratios: list[Interval | None] = [None] * 3
    if label in resampled.steps_ratio and contest.reference in cells:
        of_draws = _ratios(contest, resampled, label, cells)
        ratios = [_interval(values, resampled.num_seeds) for values in of_draws]
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
        notes=list(_reservations(cells[label], cells.get(contest.reference), resampled.num_seeds)),
    )


def _reservations(one: Evaluations, reference: Evaluations | None, num_seeds: int) -> Iterator[str]:
    """Say why an optimizer's numbers on a task are less sure than others."""
    if num_seeds < len(one.seeds):
        yield f"{num_seeds} of its {len(one.seeds)} seeds are shared, and used"
    if not one.has_seeds:
        yield "its archive names no seeds, so that they are no real pairs with those of others"
    if reference and None not in (one.schedule, reference.schedule) and one.schedule != reference.schedule:
        yield f"evaluated otherwise than {reference.hparam_set} (other steps, or other numbers of batches)"


def _ratios(
    contest: Contest, resampled: Resampled, label: str, cells: Mapping[str, Evaluations]
) -> tuple[Array, Array | None, Array | None]:
    """Return the ratios to the reference in steps, in time and in operations, (1 + B,) each."""
    steps, both = resampled.steps_ratio[label], (cells[label], cells[contest.reference])
    return steps, statistics.time_ratio(steps, *both), statistics.flops_ratio(steps, *both)


def _interval(values: Array | None, num_seeds: int) -> Interval | None:
    """Return the interval of a ratio on one task."""
    return None if values is None else statistics.interval(values, num_seeds, log=True)


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
    return statistics.interval(
        np.exp(np.mean(np.log(known), axis=0)),
        min(task.num_seeds for task in tasks),
        log=True,
        num_tasks=statistics.effective_tasks(np.log(known)),
    )


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


def _beside_the_suite(suite: Suite | None, num_tasks: int, num_seeds: int) -> list[str]:
    """Say what of a suite is not in the verdict, which then compares with no other one on the suite."""
    if suite is None:
        return []
    lacking = [
        f"{count} of its {counted(needed, noun)}"
        for count, needed, noun in (
            (num_tasks, len(suite.tasks), "task"),
            (num_seeds, suite.num_seeds, "seed"),
        )
        if count < needed
    ]
    told = f"not the whole suite {suite.label}: {several(lacking)}"
    return [f"{told}; do not compare it with verdicts on the whole"] if lacking else []


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
