"""A plan in words, for terminals."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import torch

from optsuite import data
from optsuite.storage import Store
from optsuite.sweep._matrix import Cell
from optsuite.sweep._plan import Plan
from optsuite.words import aligned, counted, duration


def plan_lines(plan: Plan, stores: Iterable[Store], device: torch.device, chosen_by: str) -> list[str]:
    """Say what is about to be trained, on which data, and where results go.

    Args:
        plan: The plan.
        stores: Where the results lie.
        device: Where it would train.
        chosen_by: How the cells were chosen, e.g. `preset quick`.
    """
    if not plan.cells:
        return []
    work = f"{plan.num_missing} trials to train, {plan.num_recorded} recorded already"
    if plan.num_missing:
        work += f"; {_cost(plan, device)}, {_bytes(plan.num_bytes)} of curves"
    return [
        f"optsuite: {counted(len(plan.cells), 'cell')}, {chosen_by}: {work}",
        *(f"  {line}" for line in _source_lines(plan.sources)),
        *(f"  curves in {s.curves}, archives in {s.archives}" for s in stores),
    ]


def _cost(plan: Plan, device: torch.device) -> str:
    cost, place = plan.cost, _place(plan, device)
    if not cost.is_known and not cost.seconds:
        return f"on {place}, the cost is unknown"
    time = f"{'about' if cost.is_known else 'at least'} {duration(cost.seconds)}"
    return f"{time} on {place}, {_flops(cost.flops)}, {_bytes(cost.memory_bytes)} of memory"


def _place(plan: Plan, device: torch.device) -> str:
    if plan.num_workers > 1:
        return f"{plan.num_workers} workers ({device})"
    return f"{device} ({counted(torch.get_num_threads(), 'thread')})" if device.type == "cpu" else str(device)


def _source_lines(sources: Mapping[str, data.Source]) -> list[str]:
    real = [name for name, source in sources.items() if source == "real"]
    standing_in = [name for name, source in sources.items() if source != "real"]
    lines = [f"data: {', '.join(real)}: real"] if real else []
    for name in standing_in:
        infos = data.get_datasets(name)
        titles = " and ".join(dict.fromkeys(info.title for info in infos))
        ways = "; ".join(dict.fromkeys(info.how_to_get for info in infos))
        lines.append(f"data: {name}: STAND-IN, not {titles} (to get it: {ways})")
    return lines


def plan_table(plan: Plan) -> list[str]:
    """Return a row for each cell; times are those of one worker, and `?` is unknown."""
    rows = [["task", "hparam set", "to train", "recorded", "time", "operations", "memory", "curves"]]
    for cell, one in plan.cells.items():
        cost = one.cost
        costs = [duration(cost.seconds), _flops(cost.flops), _bytes(cost.memory_bytes)]
        costs = [*(costs if cost.is_known else "???"), _bytes(one.num_bytes)] if one.missing else ["-"] * 4
        counts = (str(len(one.missing)), str(one.num_recorded))
        rows.append([cell.task_name, cell.hparam_set.name, *counts, *costs])
    return aligned(rows)


def left_out_lines(left_out: Sequence[Cell], chosen_by: str, advice: str) -> list[str]:
    """Say which cells are not trained, and how to bring them back."""
    if not left_out:
        return []
    sets_of: dict[str, list[str]] = {}
    for cell in left_out:
        sets_of.setdefault(cell.task_name, []).append(cell.hparam_set.name)
    names = [f"{task} ({counted(len(sets), 'set')})" for task, sets in sorted(sets_of.items())]
    return [
        f"optsuite: {chosen_by} leaves out {counted(len(left_out), 'cell')} {advice}:",
        *textwrap.wrap(", ".join(names), 100, initial_indent="  ", subsequent_indent="  "),
    ]


def over_budget_lines(left_out: Sequence[Cell], seconds: float | None) -> list[str]:
    """Say which cells do not fit a budget, if there are any."""
    budget = f"the budget of {duration(seconds or 0)}"
    return left_out_lines(
        left_out, budget, "for which it is too short; give more time, or name what matters most"
    )


def _flops(flops: float) -> str:
    return _scaled(flops, ("M", "G", "T", "P", "E")) + "FLOP"


def _bytes(number: float) -> str:
    return _scaled(number, ("M", "G", "T")) + "B"


def _scaled(number: float, prefixes: Sequence[str]) -> str:
    number /= 1e6
    for prefix in prefixes[:-1]:
        if number < 1000:
            return f"{number:.3g} {prefix}"
        number /= 1000
    return f"{number:.3g} {prefixes[-1]}"
