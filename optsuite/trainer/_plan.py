"""The parts of a group: those that are still to be trained, and those that ended; as text, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

from optsuite import storage
from optsuite.errors import StorageError, in_words
from optsuite.trainer._grid import Grid, How, Lifting


class Part(NamedTuple):
    """A grid of some trials of a group, and the way to train it."""

    how: How
    grid: Grid
    is_again: bool = False
    """True where it ended before the group was interrupted, and is to be trained again as it was."""


class Plan(NamedTuple):
    """The parts of a group, each trial in one of them."""

    pending: tuple[Part, ...]
    """Parts that are still to be trained, in order."""
    ended: tuple[Part, ...] = ()
    """Parts whose outcomes were given."""

    def split(self) -> Plan:
        """Split the first pending part as its way needs it."""
        first, *rest = self.pending
        parts = (first._replace(grid=grid) for grid in first.how.parts(first.grid))
        return self._replace(pending=(*parts, *rest))

    def go_on(self, how: How, grids: Sequence[Grid]) -> Plan:
        """Put grids in the place of the first pending part, and train what follows in their way too."""
        first, *rest = self.pending
        parts = (first._replace(how=how, grid=grid) for grid in grids)
        others = (part if part.is_again else part._replace(how=how) for part in rest)
        return self._replace(pending=(*parts, *others))

    def end(self) -> Plan:
        """Move the first pending part to those that ended."""
        first, *rest = self.pending
        return Plan(tuple(rest), (*self.ended, first._replace(is_again=False)))

    def resumed(self, is_recorded: Callable[[Grid], bool]) -> Plan:
        """Train parts that ended again at last, unless all their curves are recorded."""
        ended = tuple(part for part in self.ended if is_recorded(part.grid))
        again = (part._replace(is_again=True) for part in self.ended if part not in ended)
        return Plan((*self.pending, *again), ended)


def plan_text(plan: Plan, whole: Grid) -> str:
    """Write a plan as JSON, in which parts name seeds and configs by their numbers.

    Args:
        plan: The plan.
        whole: The grid of all trials of the group.
    """

    def plain(part: Part) -> list[Any]:
        seeds = [whole.seeds.index(seed) for seed in part.grid.seeds]
        configs = [whole.configs.index(config) for config in part.grid.configs]
        return [part.how._asdict(), seeds, configs, part.is_again]

    return json.dumps({name: [plain(part) for part in parts] for name, parts in plan._asdict().items()})


def plan_from(text: str, whole: Grid) -> Plan:
    """Read a plan that `plan_text` wrote.

    Args:
        text: The JSON, of whatever content.
        whole: The grid of all trials of the group.

    Raises:
        StorageError: It is no plan for these trials.
    """
    fields = storage.parse_json(text, "the plan of a group")
    try:
        plan = Plan(*(tuple(_part(part, whole) for part in fields[name]) for name in Plan._fields))
    except (LookupError, TypeError, ValueError) as error:
        raise StorageError(f"a group's plan is damaged ({in_words(error)})") from error
    trials = [
        (seed, config)
        for part in (*plan.pending, *plan.ended)
        for seed in part.grid.seeds
        for config in part.grid.configs
    ]
    if not plan.pending or not len(trials) == len(set(trials)) == whole.num_trials:
        raise StorageError(f"a group's plan is damaged: its parts do not make up {whole.shape} trials")
    return plan


def _part(fields: Any, whole: Grid) -> Part:  # noqa: ANN401 - any JSON
    how, seeds, configs, is_again = fields
    kinds = {name: type(value) for name, value in How(is_compiled=False)._asdict().items()}
    if {name: type(value) for name, value in how.items()} != kinds or how["lifting"] not in get_args(Lifting):
        raise ValueError(f"a way needs {kinds}, got {how}")
    if not isinstance(is_again, bool) or not seeds or not configs:
        raise ValueError("a part needs seeds, configs and whether it is trained again")
    return Part(How(**how), Grid(_picked(whole.seeds, seeds), _picked(whole.configs, configs)), is_again)


def _picked(items: Sequence[Any], numbers: list[int]) -> tuple[Any, ...]:
    if not all(type(number) is int and 0 <= number < len(items) for number in numbers):
        raise ValueError(f"numbers below {len(items)} needed, got {numbers}")
    return tuple(items[number] for number in numbers)
