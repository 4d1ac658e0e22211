"""Verdicts in words: three calm lines, a table by rank, and what the numbers rest on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from optsuite.statistics import Interval
from optsuite.verdict._names import optimizer_of
from optsuite.verdict._numbers import (
    entries_of,
    has_limits,
    inverse,
    loss,
    ranged,
    ratio,
    setting_of,
    several,
    varied,
)
from optsuite.verdict._value import Entry, Standing, Verdict
from optsuite.words import aligned, counted, listed, shown

_CHANCE = 0.05
_MOST_NAMED = 6  # tasks or optimizers that a line names


def page(verdict: Verdict, *, by_task: bool = False) -> list[str]:
    """Return all that a terminal shows: sentences, tables, and what they rest on."""
    tasks = ["", *task_lines(verdict)] if by_task else []
    told = [*lines(verdict), "", *table_lines(verdict), *tasks, "", *basis_lines(verdict)]
    return [line if line.isprintable() else ascii(line) for line in told]  # names of folders may be anything


def lines(verdict: Verdict) -> list[str]:
    """Return the verdict in three sentences: the answer, on how many tasks, and with which setting."""
    return [_answer(verdict), _on_tasks(verdict), _settings(verdict)]


def table_lines(verdict: Verdict) -> list[str]:
    """Return the table of optimizers by rank, in columns of at most 100 characters for names up to 24."""
    head = ("rank", "optimizer", f"steps to {verdict.reference}'s loss", "better", "worse", "best setting")
    return aligned([head, *(_row(verdict, one) for one in verdict.standings)])


def task_lines(verdict: Verdict) -> list[str]:
    """Return a table for each task, optimizers by their final loss."""
    entries = sorted(verdict.entries, key=lambda entry: (entry.task, _order(entry)))
    head, *rows = aligned(
        [
            ("  optimizer", "final loss", f"steps to {verdict.reference}'s loss", "best setting"),
            *(_task_row(verdict, entry) for entry in entries),
        ]
    )
    blocks: dict[str, list[str]] = {}
    for entry, row in zip(entries, rows, strict=True):
        blocks.setdefault(entry.task, [entry.task]).append(row)
    for cell, cause in verdict.missing.items():
        task, _, name = cell.partition("/")
        blocks.setdefault(task, [task]).append(
            f"  {optimizer_of(name.rsplit('_', 2)[0])}: {shown(cause, 200)}"
        )
    return [head, *(line for task in sorted(blocks) for line in blocks[task])]


def _order(entry: Entry) -> float:
    return math.inf if entry.final is None else entry.final.value


def _task_row(verdict: Verdict, entry: Entry) -> tuple[str, ...]:
    return (
        f"  {entry.optimizer}",
        ranged(entry.final, loss, entry.why_no_best),
        _steps(verdict, entry.optimizer, entry.steps_ratio) if entry.best else "diverged",
        setting_of(entry) + (", at the edge" if entry.edge else ""),
    )


def basis_lines(verdict: Verdict) -> list[str]:
    """Return what the numbers rest on, what is missing, and reservations."""
    data = {entry.evaluations.data_source == "real" for entry in verdict.entries}
    kinds = {True: "real data", False: "stand-in data"}
    parts = [
        verdict.tasks_in_words,
        counted(verdict.num_seeds, "paired seed"),
        f"{verdict.num_steps:,} steps",
        *([several([kinds[one] for one in sorted(data, reverse=True)])] if data else []),
        *([f"intervals of {_level(verdict):.0%}"] if _level(verdict) else []),
    ]
    return [", ".join(parts), f"best setting {verdict.rule}", *_ranks(verdict), *_notes(verdict)]


def _answer(verdict: Verdict) -> str:
    mine, entries = _standing(verdict), _judged(verdict)
    tuned = "tuned " if _is_tuned(verdict) else ""
    title = f"{verdict.of} against {tuned}{verdict.reference}"
    if not entries or mine.steps_ratio is None:
        return f"{title}: undecided, since no task has results of both."
    title += f" on {_tasks(verdict, entries)}"
    lost, reference_lost = _lost(entries), _lost_of_reference(verdict, entries)
    if lost == len(entries):
        as_well = f", as each of {verdict.reference}'s did" if reference_lost == lost else ""
        return f"{title}: {mine.outcome}, since each of its settings diverged{as_well}."
    if reference_lost == len(entries):
        return f"{title}: {mine.outcome}, since each setting of {verdict.reference} diverged."
    answer = f"{title}: {mine.outcome}; {_speed(verdict, mine.steps_ratio)}"
    if mine.outcome == "undecided":
        return f"{answer}, but {_why_undecided(verdict)}."
    return f"{answer}."


def _speed(verdict: Verdict, interval: Interval) -> str:
    """Say how fast the optimizer in question is: in which share of the steps one reaches the other's loss."""
    if interval.value <= 1:
        who, whose, shown = "it", f"{verdict.reference}'s", interval
    else:
        who, whose, shown = verdict.reference, f"{verdict.of}'s", inverse(interval)
    numbers = f"{ratio(shown.value)} of the steps"
    limits = f" [{ratio(shown.low)}, {ratio(shown.high)}]" if has_limits(shown) else ""
    return f"{who} reaches {whose} final loss in {numbers}{limits}"


def _why_undecided(verdict: Verdict) -> str:
    if verdict.num_seeds < 2:
        return "one seed gives no interval; train two or more, better five"
    return "its interval cannot be told"


def _on_tasks(verdict: Verdict) -> str:
    mine, entries = _standing(verdict), _judged(verdict)
    num_ranked = sum(one.num_tasks > 0 for one in verdict.standings)
    place = f"average rank {_rank(mine)} of {counted(num_ranked, 'optimizer')}"
    if len(entries) == 1 and entries[0].final is not None:
        own = f"Final loss {ranged(entries[0].final, loss, '')}"
        others = [e for e in entries_of(verdict, verdict.reference) if e.task == entries[0].task]
        against = f" against {ranged(others[0].final, loss, others[0].why_no_best)}" if others else ""
        return f"{own}{against}; {place.removeprefix('average ')}."
    if not entries:
        return f"It has results on {counted(len(entries_of(verdict, verdict.of)), 'task')}."
    of = counted(len(entries), "task")
    if mine.outcome == "undecided":
        ahead = sum(entry.steps_ratio.value < 1 for entry in entries if entry.steps_ratio)
        return f"Ahead on {ahead} of {of}, by estimates alone; {place}."
    rest = len(entries) - mine.better_on - mine.worse_on
    parts = [f"Better on {mine.better_on} of {of}", f"worse on {mine.worse_on}", f"no difference on {rest}"]
    if lost := _lost(entries):
        parts.append(f"diverged on {lost}")
    if lost := _lost_of_reference(verdict, entries):
        parts.append(f"{verdict.reference} diverged on {lost}")
    return f"{', '.join(parts)}; {place}."


def _lost(entries: Sequence[Entry]) -> int:
    """Return on how many tasks each setting diverged with a seed, which leaves no best one."""
    return sum(entry.best is None for entry in entries)


def _lost_of_reference(verdict: Verdict, entries: Sequence[Entry]) -> int:
    """Return on how many tasks of entries it was so with the reference."""
    tasks = {entry.task for entry in entries}
    return _lost([one for one in entries_of(verdict, verdict.reference) if one.task in tasks])


def _settings(verdict: Verdict) -> str:
    """Say which settings are best, and whether they lie at the edge of their grid."""
    entries = [entry for entry in entries_of(verdict, verdict.of) if entry.best is not None]
    if not entries:
        return "No best setting: each diverged with a seed."
    if len(entries[0].evaluations.configs) == 1:
        return f"One setting for all tasks, {setting_of(entries[0])}."
    edges = [entry for entry in entries if entry.edge]
    text = f"Best {_best(entries)}"
    if not edges:
        return f"{text}, not at the edge of its grid."
    where = "" if len(entries) == 1 else f" on {len(edges)} of {len(entries)} tasks"
    advice = list(dict.fromkeys(entry.edge for entry in edges))
    return f"{text}, at the edge of its grid{where}: {listed(advice, 2)}."


def _best(entries: Sequence[Entry]) -> str:
    if (name := varied(entries[0])) and all(varied(entry) == name for entry in entries):
        values = sorted({float(entry.best.hparams[name]) for entry in entries if entry.best})  # type: ignore[arg-type]
        return f"{name} {values[0]:g}" + (f" to {values[-1]:g}, by task" if len(values) > 1 else "")
    return f"setting {listed(list(dict.fromkeys(map(setting_of, entries))), 3)}"


def _row(verdict: Verdict, one: Standing) -> tuple[str, ...]:
    found = entries_of(verdict, one.optimizer)
    if not found:
        return ("-", one.optimizer, "missing", "", "", "")
    entries = [entry for entry in found if entry.best is not None]
    is_reference = one.optimizer == verdict.reference
    counts = ("", "")
    if not is_reference:
        is_told = one.steps_ratio is not None and has_limits(one.steps_ratio)
        counts = (f"{one.better_on} of {one.num_tasks}", str(one.worse_on)) if is_told else ("-", "-")
    best = _best(entries) if entries else "all diverged"
    edge = ", at the edge" if any(entry.edge for entry in entries) else ""
    steps = _steps(verdict, one.optimizer, one.steps_ratio)
    return (_rank(one), one.optimizer, steps, *counts, f"{best}{edge}")


def _steps(verdict: Verdict, optimizer: str, interval: Interval | None) -> str:
    if optimizer == verdict.reference:
        return "1 (reference)"
    return ranged(interval, ratio, f"no {verdict.reference} beside it")


def _rank(one: Standing) -> str:
    return f"{one.rank:.1f}".removesuffix(".0") if math.isfinite(one.rank) else "-"


def _ranks(verdict: Verdict) -> Iterator[str]:
    """Say whether ranks differ by more than chance."""
    p_value = verdict.ranks_differ
    if p_value is None or math.isnan(p_value):
        return
    if p_value > _CHANCE:
        yield f"ranks are not shown to differ (Friedman's test, p = {p_value:.2g})"
        return
    near = {name for group in verdict.rank_groups if verdict.of in group for name in group} - {verdict.of}
    others = listed([one.optimizer for one in verdict.standings if one.optimizer in near], _MOST_NAMED)
    told = f"does not tell {verdict.of} from {others}" if near else f"tells {verdict.of} from all others"
    yield f"ranks differ by more than chance (Friedman's test, p = {p_value:.2g}); Nemenyi's {told}"


def _notes(verdict: Verdict) -> Iterator[str]:
    yield from verdict.notes
    told: dict[str, list[str]] = {}
    for entry in verdict.entries:
        for note in entry.notes:
            told.setdefault(f"{entry.optimizer}: {note}", []).append(entry.task)
    for note, tasks in told.items():
        yield f"{note} ({listed(tasks, _MOST_NAMED) if len(tasks) < 3 else counted(len(tasks), 'task')})"
    causes: dict[str, list[str]] = {}
    for cell, cause in verdict.missing.items():
        causes.setdefault(cause, []).append(cell)
    for cause, cells in causes.items():
        tasks_of: dict[str, list[str]] = {}
        for cell in cells:
            task, _, name = cell.partition("/")
            tasks_of.setdefault(name, []).append(task)
        told_cells = [
            f"{tasks[0]}/{name}" if len(tasks) == 1 else f"{name} on {len(tasks)} tasks"
            for name, tasks in tasks_of.items()
        ]
        yield f"missing: {listed(told_cells, _MOST_NAMED)}: {cause}"


def _standing(verdict: Verdict) -> Standing:
    return next(one for one in verdict.standings if one.optimizer == verdict.of)


def _judged(verdict: Verdict) -> list[Entry]:
    """Return the entries of the optimizer in question beside which there is the reference."""
    return [entry for entry in entries_of(verdict, verdict.of) if entry.steps_ratio is not None]


def _tasks(verdict: Verdict, entries: Sequence[Entry]) -> str:
    is_part = len(entries) < verdict.num_suite_tasks
    if len(entries) > 1:
        return verdict.tasks_in_words if is_part else f"{len(entries)} tasks"
    return entries[0].task + (f", {verdict.tasks_in_words}" if is_part else "")


def _is_tuned(verdict: Verdict) -> bool:
    return any(len(entry.evaluations.configs) > 1 for entry in entries_of(verdict, verdict.reference))


def _level(verdict: Verdict) -> float:
    found = (entry.final.level for entry in verdict.entries if entry.final and has_limits(entry.final))
    return next(found, 0.0)
