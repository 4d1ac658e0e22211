"""Words for a comparison: lines for terminals, a table, JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from optsuite.comparison._value import ComparedCell, Comparison
from optsuite.words import aligned, counted, listed

SAME, NOTHING, CHANGED, SLOWER = 0, 1, 3, 4
"""Exit statuses of a comparison; a change of loss goes before one of speed."""

_MOST_NAMED = 3  # cells that a reservation names

_HEAD = ("task", "hparam set", "n", "final loss", "best setting", "diverged", "s/step", "result")


def exit_status(comparison: Comparison) -> int:
    """Return 3 after a real change of loss, 4 if all that changed is that B is slower, otherwise 0.

    It is 1 if not one cell compares, since no change would be seen.
    """
    if not comparison.compared:
        return NOTHING
    if comparison.changed:
        return CHANGED
    return SLOWER if comparison.slower else SAME


def lines(comparison: Comparison) -> list[str]:
    """Return a comparison in words: what it came to, then a row a cell, then reservations."""
    rows = [_row(cell) for cell in comparison.compared]
    return [
        *_summary(comparison),
        *(["", *aligned([_HEAD, *rows])] if rows else []),
        *_notes(comparison.cells),
    ]


def _summary(comparison: Comparison) -> list[str]:
    changed, slower, compared = comparison.changed, comparison.slower, comparison.compared
    same = [cell for cell in compared if cell.is_identical]
    told = [f"{comparison.b} against {comparison.a}: {counted(len(compared), 'cell')} compared"]
    if same:
        told[0] += f", {len(same)} identical bit for bit"
    if unlike := len(comparison.cells) - len(compared):
        told[0] += f", {unlike} not comparable"
    if changed:
        told.append(f"real changes of loss: {', '.join(cell.name for cell in changed)}")
    elif compared:
        told.append("no real change of loss")
    else:
        told.append("nothing compares: a change would not be seen")
    if timed := [cell.slowdown.least for cell in compared if cell.slowdown]:
        named = f"slower: {', '.join(cell.name for cell in slower)}" if slower else "no cell is slower"
        told.append(f"{named}; a slowdown of less than {max(timed) - 1:.1%} would pass for noise")
    if comparison.num_tests:
        tests = counted(comparison.num_tests, "test")
        told.append(f"{tests}; noise alone would trip one of them in at most {comparison.rate:.1%} of nights")
    return told


def _row(cell: ComparedCell) -> tuple[str, ...]:
    number = f"{cell.num_settings} x {cell.num_seeds}"
    best = "-" if cell.best is None else _percent(cell.best)
    final = "-" if cell.final is None else _percent(cell.final.mean)
    found = cell.diverged
    diverged = f"-{found.only_a} +{found.only_b}" if found and (found.only_a or found.only_b) else "same"
    speed = "-"
    if cell.slowdown is not None:
        ratio = cell.slowdown.ratio
        speed = f"x {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
    return (cell.task, cell.hparam_set, number, final, best, diverged, speed, _result(cell))


def _percent(share: float) -> str:
    percent = 100 * share
    return (f"{percent:+.2g} %" if abs(percent) < 100 else f"{percent:+.0f} %") if share else "same"


def _result(cell: ComparedCell) -> str:
    if cell.is_identical:
        said = ["identical"]
    elif cell.final is None and not cell.has_changed:
        said = ["nothing to test"]
    elif not cell.has_changed:
        tests = (cell.final, cell.curve, cell.diverged)
        said = [f"noise (p={min(test.p for test in tests if test is not None):.2g})"]
    else:
        said = []
        for words, change in (("final loss", cell.final), ("loss before the end", cell.curve)):
            if change is not None and change.is_real:
                worse = counted(change.num_worse, "setting")
                said.append(f"{words} changed: {worse} worse, {change.num_better} better")
        if cell.diverged is not None and cell.diverged.is_real:
            said.append("other trials diverge")
    if (found := cell.slowdown) is not None and found.is_real:
        said.append("slower" if found.ratio.value > 1 else "faster")
    return "; ".join(said)


def _notes(cells: Sequence[ComparedCell]) -> list[str]:
    """Return reservations, each with the cells it is about."""
    about: dict[str, list[str]] = {}
    for cell in cells:
        for note in (*filter(None, [cell.why_not]), *cell.notes):
            about.setdefault(note, []).append(cell.name)
    return ["", *(f"{note}: {listed(names, _MOST_NAMED)}" for note, names in about.items())] if about else []


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as a value of JSON, with what its cells came to."""
    told = dataclasses.asdict(comparison)
    for cell, of_cell in zip(comparison.cells, told["cells"], strict=True):
        of_cell["result"] = "not comparable" if cell.why_not else _result(cell)
        for kind in ("final", "curve", "diverged"):
            value = getattr(cell, kind)
            of_cell[kind] = None if value is None else value._asdict()
        if cell.slowdown is not None:
            of_cell["slowdown"] = cell.slowdown._asdict() | {"ratio": cell.slowdown.ratio._asdict()}
    told["exit_status"] = exit_status(comparison)
    return told
