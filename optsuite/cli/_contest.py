"""The command `contest`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable

from optsuite import runner, suites, verdict
from optsuite.cli import _sweep
from optsuite.cli._own_sets import add_own_sets
from optsuite.cli._verdict import show
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import (
    find_family,
    get_family,
    register_lr_family,
    register_untuned,
)
from optsuite.optimizers import is_import_path
from optsuite.verdict import Verdict
from optsuite.words import listed


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
