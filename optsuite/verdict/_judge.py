"""Judging: from names of optimizers to a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from optsuite import statistics
from optsuite._types import Array
from optsuite.errors import OptsuiteError, UnknownNameError
from optsuite.statistics import Aggregate, Evaluations, Interval, Resampled, Rule
from optsuite.storage import MissingFileError, is_glob
from optsuite.suites import Suite
from optsuite.verdict._cells import Listing, list_cells, on_seeds, why_not_beside
from optsuite.verdict._names import Contender, find_all, find_one, label_all
from optsuite.verdict._numbers import has_limits
from optsuite.verdict._value import Entry, Outcome, Standing, Verdict
from optsuite.words import counted, listed

_USUAL = "AdamLR"  # family of the reference unless said otherwise


@final
@dataclass(frozen=True, kw_only=True)
class _Contest:
    """Contenders by label, the optimizer in question first, and what is known of them."""

    of: str
    reference: str
    contenders: Mapping[str, Contender]
    rule: Rule
    entries: list[Entry] = field(default_factory=list)
    resampled: list[Resampled] = field(default_factory=list)
    """Tasks that have the reference."""
    missing: dict[str, str] = field(default_factory=dict)


def judge(
    of: str,
    against: Sequence[str] = (),
    tasks: Sequence[str] = ("*",),
    *,
    reference: str | None = None,
    rule: str = "last",
    suite: Suite | None = None,
    num_steps: int | None = None,
    root: str | None = None,
) -> Verdict:
    """Judge whether an optimizer is better than others.

    Evaluations are those of the archives of a root, and packaged ones where it has none of an optimizer on a
    task; the verdict's notes say so.

    Args:
        of: Optimizer in question: name (`Mine`, `Adam+cosine`), family (`MineLR`) or set (`MineLR_2000_R5`).
        against: Names or globs of the others; those of the suite, else Adam, where there are none.
        tasks: Names or globs of tasks, over those of the suite or those on which `of` was trained.
        reference: Name of the optimizer that ratios refer to, which joins the others; the suite's if `None`,
            else Adam if it is among the others, else the first of them.
        rule: Name in `statistics.RULES`: how the best setting is chosen and judged.
        suite: Suite whose tasks, opponents and number of steps are taken.
        num_steps: Number of steps; if `None`, that of all sets of `of`.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        UnknownNameError: A name is none of an optimizer with archives, or of a rule.
        OptsuiteError: A name is ambiguous, lengths differ, or there is nothing to compare with.
        MissingFileError: There are no such tasks, or none has usable results of `of`.
        StorageError: The storage cannot be reached.
    """
    if rule not in statistics.RULES:
        raise UnknownNameError("rule", rule, statistics.RULES)
    listing = list_cells(tasks, root, suite.tasks if suite else None)
    steps = suite.num_steps if suite else num_steps
    mine = find_one(of, listing.sets, steps)
    if suite and mine.repetitions is None:
        mine = mine._replace(repetitions=suite.num_seeds)
    others = _others(against, mine, listing, suite)
    ref = _reference(reference, others, mine, listing, suite)
    contenders = list(dict.fromkeys([mine, ref, *others]))
    labels = label_all(contenders)
    contest = _Contest(
        of=labels[0],
        reference=labels[1],
        contenders=dict(zip(labels, contenders, strict=True)),
        rule=statistics.RULES[rule],
    )
    named = [*listing.own] if suite else [task for task in tasks if not is_glob(task)]
    for task in listing.own:
        if task in named or task in listing.tasks_of(mine):
            _judge_task(contest, task, listing.read(task, contenders))
    if not contest.entries:
        cell, why = next((cell, why) for cell, why in contest.missing.items())
        raise MissingFileError(f"there is nothing to judge: {cell}: {why}")
    return _verdict(contest, suite, mine.num_steps)


def _others(
    against: Sequence[str], mine: Contender, listing: Listing, suite: Suite | None
) -> list[Contender]:
    """Return the contenders that an optimizer is compared with."""
    if not against and suite:
        found = [Contender(family, suite.num_steps, suite.num_seeds) for family in suite.families]
    else:
        found = [one for name in against or ["Adam"] for one in find_all(name, listing.sets, mine.num_steps)]
    return [one for one in dict.fromkeys(found) if one != mine and not _is_same(one, mine)]


def _is_same(one: Contender, other: Contender) -> bool:
    return one.family == other.family and None in (one.repetitions, other.repetitions)


def _reference(
    name: str | None, others: Sequence[Contender], mine: Contender, listing: Listing, suite: Suite | None
) -> Contender:
    """Return the contender that ratios refer to."""
    if name is not None:
        found = find_one(name, listing.sets, mine.num_steps)
        if _is_same(found, mine) or found == mine:
            raise OptsuiteError(f"an optimizer is compared with another one (got `{name}` for both)")
        return found
    usual = suite.reference if suite else _USUAL
    found_usual = [one for one in others if one.family == usual]
    if not others:
        raise OptsuiteError(
            f"there is nothing to compare `{mine.name}` with: name an optimizer that was trained for "
            f"{mine.num_steps:,} steps on one of its tasks"
        )
    return (found_usual or list(others))[0]


def _judge_task(contest: _Contest, task: str, read: Mapping[Contender, Evaluations | str]) -> None:
    """Add what a task says to a contest."""
    cells: dict[str, Evaluations] = {}
    for label, contender in contest.contenders.items():
        found = read[contender]
        why = found if isinstance(found, str) else _why_left_out(contest, cells, found)
        if why or isinstance(found, str):
            contest.missing[f"{task}/{contender.name}"] = why
        else:
            cells[label] = found
    if contest.of not in cells:
        return
    reference = contest.reference if contest.reference in cells else contest.of
    resampled = statistics.resample(cells, reference, contest.rule)
    if contest.reference in cells:
        contest.resampled.append(resampled)
    contest.entries.extend(_entry(contest, resampled, label, cells) for label in cells)


def _why_left_out(contest: _Contest, cells: Mapping[str, Evaluations], one: Evaluations) -> str:
    """Say in words why evaluations cannot join those of a task; empty if they can.

    The optimizer in question and the reference come first: others need all seeds that these two share.
    """
    for other in cells.values():
        if why := why_not_beside(one, other):
            return why
    if contest.of not in cells or contest.reference not in cells:
        return ""
    seeds = np.intersect1d(cells[contest.of].seeds, cells[contest.reference].seeds)
    lacking = len(seeds) - len(np.intersect1d(seeds, one.seeds))
    if lacking:
        both = f"{contest.of} and {contest.reference}"
        return f"lacks {lacking} of the {counted(len(seeds), 'seed')} that {both} share"
    return ""


def _entry(contest: _Contest, resampled: Resampled, label: str, cells: Mapping[str, Evaluations]) -> Entry:
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
    contest: _Contest, resampled: Resampled, label: str, cells: Mapping[str, Evaluations]
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
    values = " and ".join(f"{value:g}" for value in edge.try_next[:2])
    return f"{edge.hparam} {edge.value:g} is the {end} that was tried; try {values}"


def _verdict(contest: _Contest, suite: Suite | None, num_steps: int) -> Verdict:
    aggregates = statistics.aggregate(contest.resampled) if contest.resampled else {}
    there = {contest.of, *(entry.optimizer for entry in contest.entries)}
    standings = [
        _standing(contest, label, aggregates.get(label)) for label in contest.contenders if label in there
    ]
    p_value, groups, why_no_test = _rank_test(contest)
    return Verdict(
        of=contest.of,
        reference=contest.reference,
        suite=suite.label if suite else "",
        rule=contest.rule.words,
        num_steps=num_steps,
        num_seeds=min((one.num_seeds for one in contest.resampled), default=0),
        entries=contest.entries,
        standings=sorted(standings, key=lambda one: (math.isnan(one.rank), one.rank)),
        scores=statistics.PROFILE_SCORES,
        ranks_differ=p_value,
        rank_groups=groups,
        missing=contest.missing,
        notes=[*_packaged(contest), *why_no_test],
    )


def _standing(contest: _Contest, label: str, found: Aggregate | None) -> Standing:
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
        seconds_ratio=_seconds_ratio(contest, label),
        score=found.score,
        improvement=found.improvement,
        rank=found.rank,
        better_on=found.better_on,
        worse_on=found.worse_on,
        profile=found.profile,
        outcome="no difference" if label == contest.reference else outcome_of(found.steps_ratio),
    )


def _seconds_ratio(contest: _Contest, label: str) -> Interval | None:
    """Return the geometric mean over tasks of the ratio in time; None unless it is known on each."""
    cells = {(entry.task, entry.optimizer): entry.evaluations for entry in contest.entries}
    tasks = [one for one in contest.resampled if label in one.steps_ratio]
    ratios = [
        statistics.time_ratio(
            one.steps_ratio[label], cells[one.task, label], cells[one.task, contest.reference]
        )
        for one in tasks
    ]
    known = [values for values in ratios if values is not None]
    if not known or len(known) < len(ratios):
        return None
    return _interval(np.exp(np.mean(np.log(known), axis=0)), tasks)


def _rank_test(contest: _Contest) -> tuple[float | None, tuple[tuple[str, ...], ...], list[str]]:
    """Test whether ranks differ, among the optimizers that are on all tasks with the reference."""
    labels = [label for label in contest.contenders if all(label in task.final for task in contest.resampled)]
    if len(contest.resampled) < 2 or len(labels) < 3:
        return None, (), []  # nothing to test, which needs no words
    test = statistics.rank_test(
        np.array([[task.final[label][0] for label in labels] for task in contest.resampled])
    )
    groups = tuple(tuple(labels[i] for i in group) for group in test.groups)
    return test.p_value, groups, [f"no test of ranks: it {test.why_no_test}"] if test.why_no_test else []


def _packaged(contest: _Contest) -> list[str]:
    """Say which numbers come with optsuite."""
    packaged = [entry for entry in contest.entries if entry.evaluations.source == "packaged"]
    if not packaged:
        return []
    names = list(dict.fromkeys(entry.optimizer for entry in packaged))
    origins = dict.fromkeys(entry.evaluations.origin for entry in packaged)
    return [f"{listed(names, 6)}: {'; '.join(origins)}"]


def outcome_of(interval: Interval | None) -> Outcome:
    """Return what the interval of a steps ratio says."""
    if interval is None or not has_limits(interval):
        return "undecided"
    if interval.high < 1:
        return "better"
    return "worse" if interval.low > 1 else "no difference"
