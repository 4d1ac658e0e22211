"""One setting for all tasks: what an optimizer is worth without tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from optsuite import statistics
from optsuite._types import Array
from optsuite.errors import OptsuiteError
from optsuite.statistics import Evaluations, Rule
from optsuite.words import listed


def with_one_setting(
    tasks: Mapping[str, Mapping[str, Evaluations]], rule: Rule
) -> dict[str, dict[str, Evaluations]]:
    """Return evaluations by task and optimizer with one setting of each optimizer, the same on all tasks.

    Args:
        tasks: Evaluations by task and optimizer.
        rule: Rule by which settings are ranked on each task; the one of the lowest mean rank is kept.
    """
    names = dict.fromkeys(name for cells in tasks.values() for name in cells)
    kept = {
        name: _best_label([cells[name] for cells in tasks.values() if name in cells], rule) for name in names
    }
    return {
        task: {name: _only(one, kept[name]) for name, one in cells.items()} for task, cells in tasks.items()
    }


def _best_label(cells: Sequence[Evaluations], rule: Rule) -> str:
    """Return the label of the setting with the lowest mean rank, among those that all cells have."""
    shared = [
        config.label
        for config in cells[0].configs
        if all(config.label in {other.label for other in one.configs} for one in cells)
    ]
    if not shared:
        one = cells[0]
        raise OptsuiteError(
            f"one setting for all tasks needs one that all have: the sets of `{one.hparam_set}` have none in "
            f"common on {listed([cell.task for cell in cells], 4)}; judge it with a setting for each task, "
            "or train it anew"
        )
    ranks = [statistics.ranks(_losses(one, shared, rule)) for one in cells]
    return shared[int(np.mean(ranks, axis=0).argmin())]


def _losses(one: Evaluations, labels: Sequence[str], rule: Rule) -> Array:
    losses_H = statistics.last_losses(one, rule.chooses_on, rule.smooth).mean(1)
    by_label = {config.label: loss for config, loss in zip(one.configs, losses_H, strict=True)}
    return np.array([by_label[label] for label in labels])


def _only(one: Evaluations, label: str) -> Evaluations:
    """Return evaluations of one setting."""
    index = [config.label for config in one.configs].index(label)
    at = slice(index, index + 1)
    seconds = one.seconds_per_step
    return replace(
        one,
        configs=one.configs[at],
        losses={split: values[at] for split, values in one.losses.items()},
        accuracies={split: values[at] for split, values in one.accuracies.items()},
        diverged=one.diverged[at],
        seconds_per_step=None if seconds is None else seconds[at],
    )
