"""The gate: this session's archives against those of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from optsuite import comparison, storage
from optsuite.errors import OptsuiteError
from optsuite.plugin._options import Options, explained
from optsuite.runner import Result
from optsuite.storage import MissingFileError, Store


class Compared(NamedTuple):
    """A session's comparison in words, and whether the gate is shut."""

    lines: Sequence[str]
    fails: bool
    """Whether a loss changed, or there was nothing to compare with."""


def check(options: Options, sources: Iterable[str]) -> None:
    """Find out before anything trains whether there is something to compare with.

    Args:
        options: The session's.
        sources: Kinds of data that will be trained on.

    Raises:
        MissingFileError: There are no archives of any of these kinds.
        StorageError: The storage cannot be reached.
    """
    roots = [_before(options, source) for source in sorted(set(sources))]
    if roots and not any(storage.list_tasks(comparison.rounds_of(root).roots[0]) for root in roots):
        named = " or ".join(f"`{root}`" for root in roots)
        raise MissingFileError(f"no archives in {named}: --opt-compare needs those of another night")


def _before(options: Options, source: str) -> str:
    """Return the root of the archives to compare with."""
    return Store.at(None, options.compare, source, options.run.precision).archives


def compare(options: Options, results: Iterable[Result]) -> Compared:
    """Compare the archives of a session with those that its options name."""
    cells: dict[str, list[Result]] = {}
    for result in results:
        if result.source:
            cells.setdefault(result.source, []).append(result)
    lines, fails = [], not cells
    for source, members in sorted(cells.items()):
        tasks, sets = ({getattr(one, kind) for one in members} for kind in ("task", "set"))
        rate = comparison.FALSE_ALARMS / len(cells)
        try:
            found = comparison.compare(
                _before(options, source),
                options.run.store(source).archives,
                sorted(tasks),
                sorted(sets),
                rate=rate,
            )
        except OptsuiteError as error:
            lines.append(f"no comparison: {explained(error)}")
            fails = True
        else:
            lines += comparison.lines(found)
            fails |= comparison.exit_status(found) != comparison.SAME
    return Compared(lines, fails)
