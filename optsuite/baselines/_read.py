"""Reading packaged baselines."""

from __future__ import annotations

from typing import Any

import numpy as np

from optsuite.archives import RecordedConfig
from optsuite.baselines import _files
from optsuite.baselines._files import Made
from optsuite.baselines._rounded import decode
from optsuite.hparam_sets import HparamValue, Schedule
from optsuite.statistics import Evaluations


def load(task: str, hparam_set: str) -> Evaluations | None:
    """Return the evaluation curves of a packaged baseline; None if there is none.

    Losses are rounded to `ROUNDING`, the last of each trial is exact. Of accuracies there is the last alone,
    and NaN stands for the others. The trials were trained on real data.

    Args:
        task: Name of the task.
        hparam_set: Name of the set.

    Raises:
        CorruptFileError: The file is damaged, or not the one that came with this package.
    """
    sha256 = _files.read_index(_files.FOLDER).digests.get((task, hparam_set))
    if sha256 is None:
        return None
    arrays, facts = _files.read_cell(_files.FOLDER, task, hparam_set, sha256)
    configs = tuple(RecordedConfig(label, _tuples(hparams)) for label, hparams in facts["configs"])
    xs, seeds = arrays["xs"], arrays["seeds"]
    shape = (len(configs), len(seeds), len(xs))
    losses, accuracies = {}, {}
    for split in facts["splits"]:
        loss_HSE = decode(arrays[f"loss/{split}"], split, shape).astype(np.float64)
        loss_HSE[..., -1] = arrays[f"last/{split}/loss"]
        losses[split] = loss_HSE
        if (key := f"last/{split}/accuracy") in arrays:
            accuracies[split] = np.full(shape, np.nan)
            accuracies[split][..., -1] = arrays[key]
    return Evaluations(
        task=task,
        hparam_set=hparam_set,
        source="packaged",
        configs=configs,
        seeds=seeds,
        data_source="real",
        schedule=Schedule(**facts["schedule"]),
        num_steps=facts["schedule"]["num_steps"],
        xs=xs,
        losses=losses,
        accuracies=accuracies,
        diverged=~np.isfinite(losses["train"][..., -1]),
        seconds_per_step=arrays["seconds_per_step"],
        flops_per_step=facts["flops_per_step"],
        device="",  # the machine may have had other work meanwhile: times do not compare
        origin=Made(**facts["made"]).words,
    )


def _tuples(hparams: dict[str, Any]) -> dict[str, HparamValue]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in hparams.items()}
