"""Contenders: what the name of an optimizer in a verdict stands for, among the sets that there are."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from optsuite.errors import OptsuiteError, UnknownNameError, parameter
from optsuite.hparam_sets import split_name
from optsuite.storage import MissingFileError
from optsuite.words import listed


class Contender(NamedTuple):
    """Family at one length, or one of its sets."""

    family: str
    num_steps: int
    repetitions: int | None = None
    """Number of repetitions of the one set; None for the most that a task has."""

    @property
    def name(self) -> str:
        """Name of the set, with `*` for any number of repetitions."""
        return f"{self.family}_{self.num_steps}_R{self.repetitions or '*'}"

    def choose(self, sets: Iterable[str]) -> str | None:
        """Return the set that it stands for among those of a task, None if there is none."""
        found = [(split_name(name), name) for name in sets]
        own = [(parts[2], name) for parts, name in found if parts and parts[:2] == self[:2]]
        return max((one for one in own if self.repetitions in (None, one[0])), default=(0, None))[1]


def optimizer_of(family: str) -> str:
    """Return the optimizer's name in that of a family.

    Example:
        >>> optimizer_of("AdamLR"), optimizer_of("AdamWLRxWD_cosine")
        ('Adam', 'AdamWxWD_cosine')
    """
    return re.sub(r"(?<=.)LR(?=xWD|_|$)", "", family, count=1)


def find_one(name: str, sets: Collection[str], num_steps: int | None = None) -> Contender:
    """Return the one contender that a name stands for.

    Args:
        name: Name or glob of an optimizer (`Adam`, `Adam+cosine`), a family (`AdamLR`) or a set.
        sets: Names of all sets that there are.
        num_steps: Number of steps; None where it is to be that of all that is found.

    Raises:
        MissingFileError: There are no sets at all.
        UnknownNameError: There is none.
        OptsuiteError: There is none of that length, or there are several; the message names them.
    """
    found = find_all(name, sets, num_steps)
    if len(found) > 1:
        lengths = sorted({one.num_steps for one in found})
        if len({one.family for one in found}) == 1:
            raise OptsuiteError(
                f"`{name}` was trained for {_steps(lengths)} steps: say which, with "
                f"{parameter('steps')} or the name of a set (`{_a_set(found[-1], sets)}`)"
            )
        names = dict.fromkeys(optimizer_of(one.family) for one in found)
        raise OptsuiteError(f"one optimizer is needed, and `{name}` stands for {listed([*names], 8)}")
    return found[0]


def find_all(name: str, sets: Collection[str], num_steps: int | None = None) -> list[Contender]:
    """Return all contenders that a name stands for, as `find_one` does for one of them."""
    if not sets:
        raise MissingFileError(
            f"there are no archives of these tasks to find `{name}` among: train some first"
        )
    found = matching(name, sets)
    if not found:
        raise UnknownNameError("optimizer among those with archives", name, _names(sets))
    fit = [one for one in found if num_steps in (None, one.num_steps)]
    if not fit:
        lengths = sorted({one.num_steps for one in found})
        raise OptsuiteError(
            f"there is no `{name}` of {num_steps:,} steps, which others are compared at; "
            f"it was trained for {_steps(lengths)} steps"
        )
    return sorted(fit, key=lambda one: (one.num_steps, one.family))


def matching(name: str, sets: Iterable[str]) -> list[Contender]:
    """Return all contenders that a name stands for, of any length, none if there are none."""
    split = ((one, parts) for one in sorted(sets) if (parts := split_name(one)))
    found = (_matched(name.replace("+", "_"), one, *parts) for one, parts in split)
    return list(dict.fromkeys(one for one in found if one))


def label_all(contenders: Sequence[Contender]) -> list[str]:
    """Return the names of contenders on the page, each a different one."""
    labels = [optimizer_of(one.family) for one in contenders]
    for longer in ("family", "name"):
        labels = [
            getattr(one, longer) if labels.count(label) > 1 else label
            for one, label in zip(contenders, labels, strict=True)
        ]
    return labels


def _matched(pattern: str, name: str, family: str, num_steps: int, repetitions: int) -> Contender | None:
    if any(fnmatch.fnmatchcase(word, pattern) for word in (family, optimizer_of(family))):
        return Contender(family, num_steps)
    return Contender(family, num_steps, repetitions) if fnmatch.fnmatchcase(name, pattern) else None


def _names(sets: Iterable[str]) -> list[str]:
    families = sorted({parts[0] for name in sets if (parts := split_name(name))})
    return list(dict.fromkeys(map(optimizer_of, families)))


def _a_set(contender: Contender, sets: Iterable[str]) -> str:
    return contender.choose(sets) or contender.name


def _steps(lengths: Sequence[int]) -> str:
    words = [f"{length:,}" for length in lengths]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
