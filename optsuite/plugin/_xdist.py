"""Scheduling for pytest-xdist: a cell stays on one worker, since its configs train together.

| `--dist` | with cells | without |
| --- | --- | --- |
| `load`, `worksteal` | a cell is a unit of work, and so is any other test | xdist's own |
| `loadgroup` | likewise; a test that names its group stays with that group | xdist's own |
| `loadscope`, `loadfile` | xdist's own, which keeps the tests of a module or a file together | xdist's own |
| `each` | xdist's own: every worker runs every test; session work is done once | xdist's own |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from optsuite.plugin._ids import cell_of

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import WorkerController

_SPLIT_BY_TEST = ("load", "worksteal", "loadgroup")


def by_cell(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:  # noqa: ANN401 - xdist is optional
    """Make a scheduler that keeps cells together; None if the mode does not split them."""
    if config.getvalue("dist") not in _SPLIT_BY_TEST:
        return None
    from xdist.scheduler import LoadScopeScheduling

    class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            is_grouped = nodeid.rfind("@") > nodeid.rfind("]")
            return nodeid.rpartition("@")[2] if is_grouped else cell_of(nodeid) or nodeid

    return CellScheduling(config, log)


class LateChoice:
    """A scheduler that is one of two: the first worker's tests show which.

    Args:
        usual: xdist's scheduler, for sessions without cells.
        ours: The scheduler for sessions with cells.
    """

    def __init__(self, usual: Any, ours: Any) -> None:  # noqa: ANN401 - xdist has no types
        self._chosen, self._ours = usual, ours

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever xdist asks of a scheduler
        return getattr(self._chosen, name)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Take the ids of the tests that a worker collected."""
        if self._ours is not None and any(map(cell_of, collection)):
            for known in self._chosen.nodes:
                self._ours.add_node(known)
            self._chosen = self._ours
        self._ours = None
        self._chosen.add_node_collection(node, collection)
