"""The command `suites`, which imports nothing heavy unless the cost is asked for."""

from __future__ import annotations

import argparse
import fnmatch
import json
from dataclasses import asdict
from typing import Any

from optsuite import baselines, data, suites
from optsuite._known_tasks import known_tasks
from optsuite.cli._text import print_table
from optsuite.suites import Suite
from optsuite.words import duration, listed


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
    datasets = dict.fromkeys(map(_dataset, suite.tasks))
    infos = dict.fromkeys(info for name in datasets for info in data.get_datasets(name))
    there = set(baselines.available())
    cells = [(task, suite.set_of(one)) for task in suite.tasks for one in suite.families]
    return asdict(suite) | {
        "sets": [suite.set_of(one) for one in suite.families],
        "num_baselines": sum(cell in there for cell in cells),
        "missing_data": [info.name for info in infos if not data.find_files(info)],
        **({"seconds": _seconds(suite)} if has_cost else {}),
    }


def _dataset(task_name: str) -> str:
    """Return the dataset of a task, without torch if it is one of this package."""
    if task_name in known_tasks():
        return known_tasks()[task_name].dataset
    from optsuite.tasks import get_task

    return get_task(task_name).dataset.dataset


def _seconds(suite: Suite) -> float | None:
    import torch

    from optsuite import sweep, trainer
    from optsuite.hparam_sets import get_hparam_set

    device = trainer.resolve_device(None)
    speed = sweep.measured_speed(device, torch.get_num_threads())
    cells = [sweep.Cell(task, get_hparam_set(suite.set_of(suite.reference))) for task in suite.tasks]
    costs = [sweep.estimated_cost(cell.task, cell.trials(), device, speed) for cell in cells]
    return sum(cost.seconds for cost in costs) if all(cost.is_known for cost in costs) else None
