"""The gate: this session's archives against those of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from optsuite import comparison
from optsuite.errors import OptsuiteError
from optsuite.plugin._options import Options, explained
from optsuite.runner import Result
from optsuite.storage import Store


class Compared(NamedTuple):
    """A session's comparison in words, and whether the gate is shut."""

    lines: Sequence[str]
    fails: bool
    """Whether a loss changed, or there was nothing to compare with."""


def compare(options: Options, results: Iterable[Result]) -> Compared:
    """Compare the archives of a session with those that its options name."""
    cells: dict[str, list[Result]] = {}
    for result in results:
        if result.source:
            cells.setdefault(result.source, []).append(result)
    lines, fails = [], not cells
    for source, members in sorted(cells.items()):
        before = Store.at(None, options.compare, source, options.run.precision).archives
        tasks, sets = ({getattr(one, kind) for one in members} for kind in ("task", "set"))
        rate = comparison.FALSE_ALARMS / len(cells)
        try:
            found = comparison.compare(
                before, options.run.store(source).archives, sorted(tasks), sorted(sets), rate=rate
            )
        except OptsuiteError as error:
            lines.append(f"no comparison: {explained(error)}")
            fails = True
        else:
            lines += comparison.lines(found)
            fails |= comparison.exit_status(found) != comparison.SAME
    return Compared(lines, fails)
