"""The command `verdict`: is an optimizer better than others?"""

from __future__ import annotations

import argparse

from optsuite import storage, suites, verdict
from optsuite.verdict import Verdict


def verdict_of(args: argparse.Namespace) -> int:
    """Print or write a verdict; the exit status is its outcome."""
    if args.output:
        verdict.check_output(args.output)
    store = storage.Store.at(args.storage, args.archives, args.data, args.precision)
    found = verdict.judge(
        args.of,
        args.against,
        args.tasks,
        reference=args.reference,
        rule=args.rule,
        suite=suites.get_suite(args.suite) if args.suite else None,
        num_steps=args.steps,
        untuned=args.untuned,
        root=store.archives,
    )
    return show(found, args)


def show(found: Verdict, args: argparse.Namespace) -> int:
    """Print or write a verdict; returns the exit status."""
    print(verdict.to_json(found) if args.json else "\n".join(verdict.page(found, by_task=args.by_task)))
    if args.output:
        verdict.write(found, args.output, by_task=args.by_task)
    return verdict.exit_status(found)
