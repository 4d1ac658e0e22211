"""Leaderboard of a verdict: all tasks together, then each optimizer on each task, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optsuite.report._contents import Contents, Group, Key
from optsuite.report._tables import Bar, Cell, Table, no_number
from optsuite.report._words import number
from optsuite.statistics import Interval
from optsuite.verdict import Entry, Standing

_LEAST_RANGE = math.log(1.25)

_OVERALL = (
    "rank",
    "optimizer",
    "steps",
    "time",
    "score",
    "beats reference",
    "better on",
    "worse on",
    "outcome",
)
_BY_TASK = (
    *("task", "optimizer", "best setting", "final loss", "steps", "time", "FLOPs", "diverged"),
    *("seeds", "horizon", "data", "source", "notes"),
)


def leaderboard(contents: Contents) -> list[Table]:
    """Return the tables of the verdict; none without one."""
    verdict = contents.verdict
    if verdict is None:
        return []
    standings, entries = ([one.steps_ratio for one in many] for many in (verdict.standings, verdict.entries))
    width = _half_width([ratio for ratio in (*standings, *entries) if ratio])
    overall = [_standing(one, verdict.of, verdict.reference, width) for one in verdict.standings]
    by_task: dict[str, list[list[Cell]]] = {}
    for entry in sorted(verdict.entries, key=_rank):
        by_task.setdefault(entry.task, []).append(_entry(entry, verdict.of, verdict.reference, width))
    num_tasks = len(by_task)
    tables = [Table("Leaderboard by task", _BY_TASK, by_task, num_words=3)]
    return [Table("Leaderboard of all tasks", _OVERALL, {"": overall}, 2)] * (num_tasks > 1) + tables


def _rank(entry: Entry) -> tuple[str, float]:
    return entry.task, entry.final.value if entry.final and math.isfinite(entry.final.value) else math.inf


def _standing(one: Standing, of: str, reference: str, width: float) -> list[Cell]:
    tasks = f"of {one.num_tasks}"
    is_reference = one.optimizer == reference
    wins = [
        no_number("") if is_reference else Cell(str(count), tasks, count, "number")
        for count in (one.better_on, one.worse_on)
    ]
    outcome = "reference" if is_reference else one.outcome
    lacking = "reference" if is_reference else "not comparable"
    return [
        Cell(f"{one.rank:.2f}", order=one.rank, kind="rank"),
        _name(one.optimizer, of),
        _ratio(one.steps_ratio, lacking, width),
        _interval(one.seconds_ratio, lacking),
        _interval(one.score, ""),
        _interval(one.improvement, lacking),
        *wins,
        Cell(outcome, kind=outcome.replace(" ", "-")),
    ]


def _entry(entry: Entry, of: str, reference: str, width: float) -> list[Cell]:
    evals = entry.evaluations
    num_diverged, num_trials = int(evals.diverged.sum()), evals.diverged.size
    is_reference = entry.optimizer == reference
    is_real = evals.data_source == "real"
    key = Key.of_entry(entry)
    return [
        Cell(entry.task, href=f"#{Group(entry.task, key.is_stand_in).anchor}"),
        _name(entry.optimizer, of),
        _setting(entry),
        _interval(entry.final, entry.why_no_best or "not known"),
        _ratio(entry.steps_ratio, "reference" if is_reference else "no interval", width),
        _interval(entry.seconds_ratio, "reference" if is_reference else "not comparable"),
        _interval(entry.flops_ratio, "reference" if is_reference else "not known"),
        Cell(f"{num_diverged} of {num_trials}", order=num_diverged / num_trials, kind="number"),
        Cell(str(len(evals.seeds)), order=len(evals.seeds), kind="number"),
        Cell(f"{evals.num_steps:,}", order=evals.num_steps, kind="number"),
        Cell("real") if is_real else Cell("stand-in", kind="stand-in"),
        Cell(evals.source),
        Cell("; ".join([entry.edge, *entry.notes] if entry.edge else entry.notes), kind="long"),
    ]


def _name(optimizer: str, of: str) -> Cell:
    return Cell(optimizer, kind="own" if optimizer == of else "", look=optimizer)


def _setting(entry: Entry) -> Cell:
    if entry.best is None:
        return Cell(entry.why_no_best, kind="words")
    return Cell(entry.best.label, "at the edge" if entry.edge else "", kind="setting")


def _ratio(ratio: Interval | None, words: str, width: float) -> Cell:
    if ratio is None:
        return no_number(words)
    return _interval(ratio, "")._replace(bar=_bar(ratio, width))


def _interval(interval: Interval | None, words: str) -> Cell:
    if interval is None or not math.isfinite(interval.value):
        return no_number(words or "not known")
    has_limits = math.isfinite(interval.low) and math.isfinite(interval.high)
    note = f"[{_short(interval.low)}, {_short(interval.high)}]" if has_limits else "no interval"
    return Cell(_short(interval.value), note, interval.value, "number")


def _short(value: float) -> str:
    """Return a number with three significant digits."""
    return (
        f"{value:#.3g}".rstrip(".")
        if 1e-3 <= abs(value) < 1e3
        else number(float(f"{value:.3g}"))
        if value
        else "0"
    )


def _half_width(ratios: Sequence[Interval]) -> float:
    """Return half the width of the scale of all bars: of logarithms, 1 in the middle."""
    ends = [abs(math.log(end)) for ratio in ratios for end in ratio[:3] if math.isfinite(end) and end > 0]
    return min(max([_LEAST_RANGE, *ends]) * 1.05, math.log(4))


def _bar(ratio: Interval, width: float) -> Bar:
    def place(value: float, other: float) -> float:
        value = value if math.isfinite(value) and value > 0 else other
        return round(min(max(50 + 50 * math.log(value) / width, 0), 100), 1)

    value = ratio.value if ratio.value > 0 else 1.0
    return Bar(place(ratio.low, value), place(value, 1.0), place(ratio.high, value), 50.0)
