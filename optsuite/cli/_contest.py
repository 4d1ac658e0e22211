"""The commands `contest` and `suites`."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import functools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from optsuite import baselines, data, runner, suites, sweep, trainer, verdict
from optsuite.cli import _sweep
from optsuite.cli._own_sets import add_own_sets
from optsuite.cli._text import print_table
from optsuite.cli._verdict import show
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import (
    find_family,
    get_family,
    get_hparam_set,
    register_lr_family,
    register_untuned,
)
from optsuite.optimizers import is_import_path
from optsuite.suites import Suite
from optsuite.sweep import Cell
from optsuite.tasks import get_task
from optsuite.verdict import Verdict
from optsuite.words import duration, listed


def contest(args: argparse.Namespace) -> int:
    """Train what a contest lacks, and print its verdict; the exit status is the verdict's."""
    if args.output:
        verdict.check_output(args.output)
    add_own_sets(args)
    held = runner.make_contest(
        suites.get_suite(args.suite),
        _family(args),
        opponents=args.opponents,
        reference=args.reference,
        data=args.data,
        precision=args.precision,
    )
    args.data = held.source  # one kind for all tasks
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        judge = _train(held, args)
        print()
    return show(judge(), args)


def _family(args: argparse.Namespace) -> str:
    """Register the optimizer in question, and return its family."""
    if args.untuned:
        return register_untuned(args.optimizer)
    is_class = is_import_path(args.optimizer.partition("(")[0])
    return register_lr_family(args.optimizer) if is_class else find_family(args.optimizer)


def _train(held: runner.Contest, args: argparse.Namespace) -> Callable[[], Verdict]:
    """Train what is missing; returns what gives the verdict."""
    display = _sweep.Display()
    training = _sweep.make_runner(args, display)
    root = training.options.store(held.source).archives
    for line in _words(held, root):
        print(line)
    planned = _sweep.make_plan(training, held.cells, held.suite.label)
    judge = functools.cache(functools.partial(held.judge, root, rule=args.rule, untuned=args.untuned))
    try:
        _sweep.train(training, display, list(planned.cells), args.typed, held.suite.label, judge)
    except OptsuiteError:  # what was trained is judged all the same
        with contextlib.suppress(OptsuiteError):
            print("", *verdict.page(judge(), by_task=args.by_task), "", sep="\n")
        raise
    return judge


def _words(held: runner.Contest, root: str) -> list[str]:
    """Say who competes before anything is trained."""
    of, *others = (get_family(one).opt for one in (held.of, *held.opponents))
    lines = [f"{of} against {listed(others, 12)} on {held.suite.label}"]
    if held.source != "real":
        lines.append(
            "stand-in data: the baselines that come with optsuite are of real data, and do not count"
        )
    if lacking := [get_family(one).opt for one in held.lacking(root)]:
        words = f"without results on some tasks, which are left out: {listed(lacking, 12)}"
        lines.append(f"{words}; name one with --opponents to train it")
    return lines


def show_suites(args: argparse.Namespace) -> int:
    """Print the suites that match a glob."""
    shown = [suites.get_suite(name) for name in fnmatch.filter(suites.list_suites(), args.pattern)]
    told = {suite: _told(suite, has_cost=args.cost) for suite in shown}
    if args.json:
        print(json.dumps(list(told.values()), indent=1))
        return 0
    rows = [("name", "tasks", "steps", "seeds", "baselines", *(["cost here"] * args.cost), "data", "purpose")]
    for suite, facts in told.items():
        counts = (str(len(suite.tasks)), f"{suite.num_steps:,}", str(suite.num_seeds))
        packaged = f"{facts['num_baselines']} of {len(suite.tasks) * len(suite.families)}"
        cost = ["?" if facts["seconds"] is None else duration(facts["seconds"])] if args.cost else []
        missing = facts["missing_data"]
        where = f"missing: {listed(missing, 3)}" if missing else "here"
        rows.append((suite.label, *counts, packaged, *cost, where, suite.about))
    print_table(rows)
    return 0


def _told(suite: Suite, *, has_cost: bool) -> dict[str, Any]:
    """Return a suite as JSON: its fields and sets, how many baselines there are, and what data are missing.

    With a cost, `seconds` estimates how long the reference would train here, null if that is not known.
    """
    datasets = dict.fromkeys(get_task(name).dataset.dataset for name in suite.tasks)
    infos = dict.fromkeys(info for name in datasets for info in data.get_datasets(name))
    there = set(baselines.available())
    cells = [(task, suite.set_of(one)) for task in suite.tasks for one in suite.families]
    return asdict(suite) | {
        "sets": [suite.set_of(one) for one in suite.families],
        "num_baselines": sum(cell in there for cell in cells),
        "missing_data": [info.name for info in infos if not data.find_files(info)],
        **({"seconds": _seconds(suite)} if has_cost else {}),
    }


def _seconds(suite: Suite) -> float | None:
    device = trainer.resolve_device(None)
    speed = sweep.measured_speed(device, torch.get_num_threads())
    cells = [Cell(task, get_hparam_set(suite.set_of(suite.reference))) for task in suite.tasks]
    costs = [sweep.estimated_cost(cell.task, cell.trials(), device, speed) for cell in cells]
    return sum(cost.seconds for cost in costs) if all(cost.is_known for cost in costs) else None
