"""Judging: from names of optimizers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optsuite import statistics
from optsuite.errors import OptsuiteError, UnknownNameError, parameter
from optsuite.hparam_sets import get_family, split_name
from optsuite.statistics import Evaluations, Rule
from optsuite.storage import MissingFileError, is_glob
from optsuite.suites import Suite
from optsuite.verdict._cells import Listing, list_cells, root_of_stand_ins, why_not_beside, why_not_judged
from optsuite.verdict._names import Contender, find_all, find_one, label_all, matching
from optsuite.verdict._sum_up import Contest, sum_up
from optsuite.verdict._untuned import with_one_setting
from optsuite.verdict._value import Verdict
from optsuite.words import listed

_USUAL = "AdamLR"  # family of the reference unless said otherwise


def judge(
    of: str,
    against: Sequence[str] = (),
    tasks: Sequence[str] = ("*",),
    *,
    reference: str | None = None,
    rule: str = "last",
    suite: Suite | None = None,
    num_steps: int | None = None,
    untuned: bool = False,
    root: str | None = None,
) -> Verdict:
    """Judge whether an optimizer is better than others.

    Evaluations are those of the archives of a root, and packaged ones where it has none of an optimizer on a
    task; the verdict's notes say so.

    Args:
        of: Optimizer in question: name (`Mine`, `Adam+cosine`), family (`MineLR`) or set (`MineLR_2000_R5`).
        against: Names or globs of the others; those of the suite, else Adam, where there are none.
        tasks: Names or globs of tasks, over those of the suite or those on which `of` was trained.
        reference: Name of the optimizer that ratios refer to, which joins the others; the suite's if `None`,
            else Adam if it is among the others, else the first of them.
        rule: Name in `statistics.RULES`: how the best setting is chosen and judged.
        suite: Suite whose tasks, opponents and number of steps are taken.
        num_steps: Number of steps; if `None`, that of all sets of `of`.
        untuned: Whether each optimizer is judged by one setting for all tasks: the one of the best average
            rank over them.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        UnknownNameError: A name is none of an optimizer with archives, or of a rule.
        OptsuiteError: A name is ambiguous, lengths differ, or there is nothing to compare with.
        MissingFileError: There are no such tasks, or none has usable results of `of`.
        StorageError: The storage cannot be reached.
    """
    if rule not in statistics.RULES:
        raise UnknownNameError("rule", rule, statistics.RULES)
    if suite and num_steps not in (None, suite.num_steps):
        raise OptsuiteError(
            f"the suite {suite.label} has {suite.num_steps:,} steps (got {num_steps:,}): leave "
            f"{parameter('steps')} out, or the suite"
        )
    listing = list_cells(tasks, root, suite.tasks if suite else None)
    steps = suite.num_steps if suite else num_steps
    mine = _in_question(of, listing, steps)
    if suite and mine.repetitions is None:
        mine = mine._replace(repetitions=suite.num_seeds)
    others = _others(against, mine, listing, suite)
    ref = _reference(reference, others, mine, listing, suite)
    contenders = list(dict.fromkeys([mine, ref, *others]))
    named = [*listing.own] if suite else [task for task in tasks if not is_glob(task)]
    there = {*named, *listing.tasks_of(mine)}
    labelled = dict(zip(label_all(contenders), contenders, strict=True))
    contest = _contest(listing, [task for task in listing.own if task in there], labelled, rule)
    if untuned:
        contest = _untuned(contest)
    return sum_up(replace(contest, suite=suite))


def _in_question(of: str, listing: Listing, num_steps: int | None) -> Contender:
    """Return the contender that a name stands for, or point to results of it on stand-ins.

    Packaged ones of other lengths do not make a user's own ambiguous.
    """
    is_own = num_steps is None and matching(of, listing.own_sets)
    sets = listing.own_sets if is_own else listing.sets
    try:
        return find_one(of, sets, num_steps)
    except (MissingFileError, UnknownNameError):
        if stand_ins := root_of_stand_ins(listing.root, of):
            raise MissingFileError(
                f"there is no archive of `{of}` in `{listing.root}`, but there is one on stand-in data: "
                f"pass {parameter('archives', stand_ins)}"
            ) from None
        raise


def _contest(listing: Listing, tasks: Sequence[str], labelled: Mapping[str, Contender], rule: str) -> Contest:
    """Read the evaluations of tasks.

    Raises:
        MissingFileError: None of the tasks has usable ones of the first contender.
    """
    missing: dict[str, str] = {}
    read = {task: _compared(listing, task, labelled, statistics.RULES[rule], missing) for task in tasks}
    cells = {task: compared for task, compared in read.items() if compared}
    if not cells:
        cell, why = next(iter(missing.items()))
        raise MissingFileError(f"there is nothing to judge: {cell}: {why}")
    of, reference, *_ = labelled
    return Contest(
        of=of,
        reference=reference,
        labels=list(labelled),
        rule=statistics.RULES[rule],
        num_steps=labelled[of].num_steps,
        cells=cells,
        missing=missing,
    )


def _untuned(contest: Contest) -> Contest:
    """Leave each optimizer the one setting that ranks best over all tasks."""
    counts = {label: len(cell.configs) for cells in contest.cells.values() for label, cell in cells.items()}
    note = "each optimizer has one setting for all tasks"
    if chosen := [f"{label} of {count}" for label, count in counts.items() if count > 1]:
        note += (
            f", the one that ranks best over them: {listed(chosen, 6)}; intervals do not repeat this choice, "
            "and are too narrow by it"
        )
    return replace(contest, cells=with_one_setting(contest.cells, contest.rule), notes=[note])


def _others(
    against: Sequence[str], mine: Contender, listing: Listing, suite: Suite | None
) -> list[Contender]:
    """Return the contenders that an optimizer is compared with."""
    if not against and suite:
        found = [Contender(family, suite.num_steps, suite.num_seeds) for family in suite.families]
    else:
        found = [one for name in against or ["Adam"] for one in _all_of(name, listing, mine.num_steps)]
    return [one for one in dict.fromkeys(found) if one != mine and not _is_same(one, mine)]


def _all_of(name: str, listing: Listing, num_steps: int) -> list[Contender]:
    missing = _missing_set(name, listing)
    return [missing] if missing else find_all(name, listing.sets, num_steps)


def _missing_set(name: str, listing: Listing) -> Contender | None:
    """Return the contender of a set that was named in full and is missing, which the verdict says.

    Raises:
        UnknownNameError: There is no such family.
    """
    parts = split_name(name)
    if parts is None or matching(name, listing.sets):
        return None
    return Contender(get_family(parts[0]).name, *parts[1:])


def _is_same(one: Contender, other: Contender) -> bool:
    return one.family == other.family and None in (one.repetitions, other.repetitions)


def _reference(
    name: str | None, others: Sequence[Contender], mine: Contender, listing: Listing, suite: Suite | None
) -> Contender:
    """Return the contender that ratios refer to."""
    if name is not None:
        found = _missing_set(name, listing) or find_one(name, listing.sets, mine.num_steps)
        if _is_same(found, mine) or found == mine:
            raise OptsuiteError(f"an optimizer is compared with another one (got `{name}` for both)")
        return found
    usual = suite.reference if suite else _USUAL
    found_usual = [one for one in others if one.family == usual]
    if not others:
        raise OptsuiteError(
            f"there is nothing to compare `{mine.name}` with: name an optimizer that was trained for "
            f"{mine.num_steps:,} steps on one of its tasks"
        )
    return (found_usual or list(others))[0]


def _compared(
    listing: Listing, task: str, labelled: Mapping[str, Contender], rule: Rule, missing: dict[str, str]
) -> dict[str, Evaluations]:
    """Return the evaluations of a task that compare, by label; say why others are missing.

    None compare without the optimizer in question, which is the first.
    """
    read = listing.read(task, list(labelled.values()))
    of, reference, *_ = labelled
    cells: dict[str, Evaluations] = {}
    for label, contender in labelled.items():
        found = read[contender]
        why = found if isinstance(found, str) else why_not_judged(found, rule)
        if not isinstance(found, str) and not why:
            why = why_not_beside(found, cells, (of, reference))
        if why or isinstance(found, str):
            missing[f"{task}/{contender.name}"] = why
        else:
            cells[label] = found
    return cells if of in cells else {}
