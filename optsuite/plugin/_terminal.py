"""Words for the terminal: results and the summary; and what the ids of items say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pytest

from optsuite import storage, sweep
from optsuite.words import aligned, counted

__all__ = [
    "Result",
    "cell_of",
    "places_lines",
    "setting_of",
    "table_lines",
]

_PREFIX = "optsuite_"


class Result(NamedTuple):
    """What a report says about one setting."""

    task: str
    set: str
    label: str
    source: str
    """Kind of data; empty if nothing was recorded."""
    summary: sweep.Summary | None
    """None if a repetition is missing."""
    num_trained: int = 0
    """Repetitions that this session trained."""
    num_recorded: int = 0
    """Repetitions that were recorded before."""
    cause: str = ""
    """Why it failed; empty if it did not."""

    @property
    def cell_name(self) -> str:
        """`<task>-<set>`."""
        return f"{self.task}-{self.set}"

    def properties(self) -> list[tuple[str, Any]]:
        """Flat and plain, as JUnit and xdist need them."""
        named: dict[str, Any] = {"task": self.task, "set": self.set, "label": self.label, "data": self.source}
        if self.summary is not None:
            named |= {f"final_{split}_loss": loss for split, loss in self.summary.final.items()}
            named |= {"diverged": self.summary.num_diverged, "trials": self.summary.num_trials}
        named |= {"trained": self.num_trained, "recorded": self.num_recorded}
        return [(_PREFIX + name, value) for name, value in named.items()]

    @classmethod
    def from_report(cls, report: pytest.TestReport) -> Result | None:
        """The result that a report carries, if it is a benchmark's."""
        named: dict[str, Any] = {
            name.removeprefix(_PREFIX): value
            for name, value in report.user_properties
            if name.startswith(_PREFIX)
        }
        if "label" not in named:
            return None
        final = {
            name.removeprefix("final_").removesuffix("_loss"): float(value)
            for name, value in named.items()
            if name.startswith("final_")
        }
        has_summary = report.passed and "trials" in named
        summary = sweep.Summary(final, named["diverged"], named["trials"]) if has_summary else None
        return cls(
            named["task"],
            named["set"],
            named["label"],
            named["data"],
            summary,
            num_trained=named["trained"],
            num_recorded=named["recorded"],
            cause=_cause(report) if report.failed else "",
        )


def _cause(report: pytest.TestReport) -> str:
    """The message of a failed test, without its traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash else str(report.longrepr)


def setting_of(nodeid: str) -> str | None:
    """`<task>-<set>-<config label>` in the id of a benchmark, else None."""
    match = re.search(r"\[(\w+-\w+_R\d+-[^]]+)\]$", nodeid)
    return match[1] if match else None


def cell_of(nodeid: str) -> str | None:
    """`<task>-<set>` in the id of a benchmark, else None."""
    name = setting_of(nodeid)
    return "-".join(name.split("-", 2)[:2]) if name else None


def table_lines(results: Iterable[Result]) -> list[str]:
    """The best setting of each cell: smallest final training loss, mean over seeds, diverged ones last."""
    cells: dict[str, list[Result]] = {}
    for result in results:
        cells.setdefault(result.cell_name, []).append(result)
    head = ("task", "hparam set", "data", "best setting", "train", "outer_valid", "test", "diverged")
    rows = [head, *(_row(members) for members in cells.values())]
    lines = aligned(rows)
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _row(members: Sequence[Result]) -> tuple[str, ...]:
    first = members[0]
    done = [(m.label, m.summary) for m in members if m.summary is not None]
    failed = len(members) - len(done)
    note = f", {counted(failed, 'setting')} failed" if failed else ""
    source = {"": "-", "real": "real"}.get(next((m.source for m in members if m.source), ""), "stand-in")
    if not done:
        return (first.task, first.set, source, "-", "-", "-", "-", note.lstrip(", "))
    label, best = min(done, key=lambda one: _rank(one[1]))
    diverged = sum(s.num_diverged for _, s in done)
    trials = sum(s.num_trials for _, s in done)
    is_lost = math.isinf(_rank(best))
    losses = [_loss(best.final.get(split)) for split in ("train", "outer_valid", "test")]
    return (
        first.task,
        first.set,
        source,
        "all diverged" if is_lost else label,
        *(["-"] * 3 if is_lost else losses),
        f"{diverged} of {trials} trials{note}",
    )


def _rank(summary: sweep.Summary) -> float:
    loss = summary.final.get("train", math.inf)
    return loss if math.isfinite(loss) else math.inf


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def places_lines(stores: Sequence[storage.Store], num_archives: int, report: str | None = None) -> list[str]:
    """Where everything is."""
    lines = [f"curves in {s.curves}, archives in {s.archives}" for s in stores]
    if lines:
        lines.append(f"complete cells archived: {num_archives}")
    if report:
        lines.append(f"report: {report}")
    return ["", *lines] if lines else []
