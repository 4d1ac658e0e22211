"""Contests: an optimizer against others on the tasks of a suite, and what has to be trained for it."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from optsuite import archives, baselines, storage, verdict
from optsuite.data import Source
from optsuite.errors import OptsuiteError, UnknownNameError
from optsuite.hparam_sets import find_family, get_hparam_set, split_name
from optsuite.suites import Suite
from optsuite.sweep import Cell
from optsuite.verdict import Verdict


@final
@dataclass(frozen=True, kw_only=True)
class Contest:
    """A suite, who competes in it, and on which data."""

    suite: Suite
    of: str
    """Family of the optimizer in question."""
    reference: str
    """Family that ratios refer to."""
    opponents: tuple[str, ...]
    """Families of the others, the reference first."""
    wanted: frozenset[str]
    """Opponents that are trained where there is no baseline of them."""
    source: Source
    """Kind of data; baselines are of real ones."""
    precision: str = "float32"

    @property
    def cells(self) -> list[Cell]:
        """Cells to train, as far as they are not recorded: the optimizer's, and those without a baseline."""
        names = {self.of: self.suite.set_of(self.of)}
        names |= {one: self.suite.set_of(one) for one in self.opponents if one in self.wanted}
        packaged = set(self._baselines()) - {(task, names[self.of]) for task in self.suite.tasks}
        return [
            Cell(task, get_hparam_set(name), self.precision)
            for task in self.suite.tasks
            for name in names.values()
            if (task, name) not in packaged
        ]

    def lacking(self, root: str) -> list[str]:
        """Return the opponents that are not to be trained, and of which some task has no results.

        Args:
            root: Root of the archives.
        """
        there = {task: self._there(task, root) for task in self.suite.tasks}
        names = ((one, self.suite.set_of(one)) for one in self.opponents if one not in self.wanted)
        return [one for one, name in names if not all(name in sets for sets in there.values())]

    def judge(self, root: str, *, rule: str = "last", untuned: bool = False) -> Verdict:
        """Judge the optimizer against the opponents that there are.

        Args:
            root: Root of the archives.
            rule: Name in `statistics.RULES`.
            untuned: Whether each is judged by one setting for all tasks.

        Raises:
            OptsuiteError: There is nothing to judge, as `verdict.judge` says.
        """
        of = self.suite.set_of(self.of)
        if not any(of in self._there(task, root) for task in self.suite.tasks):
            raise OptsuiteError(
                f"no verdict on {self.suite.label}: no task has all trials of `{of}` yet; train it for longer"
            )
        return verdict.judge(
            of,
            [self.suite.set_of(one) for one in self.opponents],
            self.suite.tasks,
            reference=self.suite.set_of(self.reference),
            rule=rule,
            untuned=untuned,
            suite=self.suite,
            root=root,
        )

    def _baselines(self, task: str | None = None) -> list[tuple[str, str]]:
        return baselines.available(task) if self.source == "real" else []

    def _there(self, task: str, root: str) -> set[str]:
        """Return the sets of which a task has an archive or a baseline."""
        own = archives.list_hparam_sets_for_task(task, root)
        return {*own, *(name for _, name in self._baselines(task))}


def make_contest(
    suite: Suite,
    of: str,
    *,
    opponents: Sequence[str] = (),
    reference: str | None = None,
    data: str | None = None,
    precision: str = "float32",
) -> Contest:
    """Say who competes, and on which data.

    Args:
        suite: The suite.
        of: Family of the optimizer in question, which is registered.
        opponents: Names of optimizers or families, which are trained where there is no baseline; globs
            over the suite's families and those of the baselines, which are not. The suite's if empty.
        reference: Name of the optimizer that ratios refer to, which is trained where there is no baseline;
            the suite's if `None`.
        data: Kind of data, as for `data.resolve_source`, but real data if nothing is said.
        precision: As for `Trial`.

    Raises:
        UnknownNameError: There is no such opponent.
        OptsuiteError: The optimizer is the reference.
        DataError: Real data are missing.
    """
    referred = find_family(reference) if reference else suite.reference
    if referred == of:
        raise OptsuiteError(
            f"an optimizer is compared with another one, and `{of}` is the reference of the contest too: "
            "choose another reference"
        )
    named = {find_family(one) for one in opponents if not storage.is_glob(one)}
    known = _known_families(suite)
    matched = [one for pattern in opponents for one in _matching(pattern, known)]
    others = dict.fromkeys([referred, *(matched if opponents else suite.families)])
    mode = data or os.environ.get("OPTSUITE_DATA") or "real"
    sources = {Cell(task, get_hparam_set(suite.set_of(of))).source(mode) for task in suite.tasks}
    return Contest(
        suite=suite,
        of=of,
        reference=referred,
        opponents=tuple(one for one in others if one != of),
        wanted=frozenset({referred, *named}),
        source="real" if sources == {"real"} else "synthetic",
        precision=precision,
    )


def _known_families(suite: Suite) -> list[str]:
    """Return the families that globs are over."""
    parts = (split_name(name) for _, name in baselines.available())
    length = (suite.num_steps, suite.num_seeds)
    return [*dict.fromkeys([*suite.families, *(one[0] for one in parts if one and one[1:] == length)])]


def _matching(pattern: str, known: Iterable[str]) -> list[str]:
    if not storage.is_glob(pattern):
        return [find_family(pattern)]
    found = [one for one in known if fnmatch.fnmatchcase(one, pattern)]
    if not found:
        raise UnknownNameError("opponent", pattern, known)
    return found
