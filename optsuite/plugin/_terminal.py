"""Words for the terminal: the best config of each cell, and where everything is."""

import math
from collections.abc import Iterable, Sequence

from optsuite.runner import Result
from optsuite.statistics import Summary
from optsuite.storage import Store
from optsuite.words import aligned, counted

_SPLITS = ("train", "outer_valid", "test")


def table_lines(results: Iterable[Result]) -> list[str]:
    """Return a table with a row a cell: its best config, the one with the smallest final training loss."""
    cells: dict[str, list[Result]] = {}
    for result in results:
        cells.setdefault(result.cell_name, []).append(result)
    head = ("task", "hparam set", "data", "best config", *_SPLITS, "diverged")
    lines = aligned([head, *(_row(members) for members in cells.values())])
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _row(members: Sequence[Result]) -> tuple[str, ...]:
    first = members[0]
    source = {"": "-", "real": "real"}.get(next((m.source for m in members if m.source), ""), "stand-in")
    done = [(m.label, m.summary) for m in members if m.summary is not None]
    num_failed = len(members) - len(done)
    notes = [f"{counted(num_failed, 'config')} failed"] if num_failed else []
    if not done:
        return (first.task, first.set, source, "-", *"---", *notes)
    diverged = sum(summary.num_diverged for _, summary in done)
    notes.insert(0, f"{diverged} of {sum(summary.num_trials for _, summary in done)} trials")
    best, losses = _best(done)
    return (first.task, first.set, source, best, *losses, ", ".join(notes))


def _best(done: Sequence[tuple[str, Summary]]) -> tuple[str, list[str]]:
    """Return the label of the best config and its final losses, or why there is none."""
    if not any("train" in summary.final for _, summary in done):
        return "not evaluated after training", ["-"] * len(_SPLITS)
    label, best = min(done, key=lambda one: _rank(one[1]))
    if math.isinf(_rank(best)):
        return "all diverged", ["-"] * len(_SPLITS)
    return label, [f"{best.final[split]:.4g}" if split in best.final else "-" for split in _SPLITS]


def _rank(summary: Summary) -> float:
    loss = summary.final.get("train", math.inf)
    return loss if math.isfinite(loss) else math.inf


def places_lines(stores: Sequence[Store], num_archives: int, report: str | None = None) -> list[str]:
    """Say where everything is; nothing if there are no results."""
    lines = [f"curves in {s.curves}, archives in {s.archives}" for s in stores]
    if lines:
        lines.append(f"complete cells archived: {num_archives}")
    if report:
        lines.append(f"report: {report}")
    return ["", *lines] if lines else []
